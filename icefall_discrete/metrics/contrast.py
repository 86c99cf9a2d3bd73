"""How well hidden frames are told from others of their utterance."""

from typing import Dict, Iterable

from icefall_discrete.metrics.facts import Metric
from icefall_discrete.metrics.masked_codes import Recovered

_LEGEND = (
    "Contrast errors: hidden frames whose own target does not come before those of all its negatives, other hidden "
    "frames of the utterance; loss: nats a hidden frame. Targets are the network's own, quantised, or with Continuous "
    "BERT its features, so that both tell whether a training goes on well, and little about another network."
)
METRICS = (
    Metric("contrast_errors", "contrast errors", "error rate", _LEGEND),
    Metric("contrast_loss", "loss", "loss", _LEGEND, unit="nats"),
)


def contrast_figures(lines: Iterable[Recovered]) -> Dict[str, Dict[str, float]]:
    """The figures of METRICS. Raises ValueError if no frame was hidden."""
    kept = list(lines)
    count = sum(line.hidden for line in kept)
    if not count:
        raise ValueError("no frame of these utterances was hidden, so that none can be told apart; they are too short.")
    errors = 100.0 * (1.0 - sum(line.correct for line in kept) / count)
    return {
        "contrast_errors": {"rate": round(errors, 4), "num": count},
        "contrast_loss": {"value": round(sum(line.nats for line in kept) / count, 4)},
    }
