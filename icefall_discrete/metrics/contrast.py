"""How well hidden frames, or frames ahead, are told from others of their utterance."""

from typing import Dict, Iterable

from icefall_discrete.metrics.facts import Metric
from icefall_discrete.metrics.masked_codes import Recovered

_LEGEND = (
    "Contrast errors: hidden frames, with predictive coding frames ahead, whose own target does not come before those "
    "of all its negatives, others of the utterance; loss: nats a frame. Targets are the network's own, quantised or "
    "not, or with Continuous BERT its features, so that both tell whether a training goes on well, and little about "
    "another network."
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
        raise ValueError("no frame of these utterances is to be told from others; they are too short.")
    errors = 100.0 * (1.0 - sum(line.correct for line in kept) / count)
    return {
        "contrast_errors": {"rate": round(errors, 4), "num": count},
        "contrast_loss": {"value": round(sum(line.nats for line in kept) / count, 4)},
    }
