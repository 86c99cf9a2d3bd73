"""How well hidden codes are found: the share that is not, and the perplexity of what was expected."""

import math
from typing import Dict, Iterable, NamedTuple

from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "Masked errors: codes of hidden frames that are not found, the most probable one taken. Perplexity: of the codes "
    "of hidden frames. Both tell encoders of the same codes apart, and nothing about other codes."
)
METRICS = (
    Metric("masked_errors", "masked errors", "error rate", _LEGEND),
    Metric("code_perplexity", "perplexity", "perplexity", _LEGEND, unit=""),
)


class Recovered(NamedTuple):
    """Of an utterance: hidden frames, codes that were found (mean over codebooks), nats lost (likewise)."""

    hidden: float
    correct: float
    nats: float


def masked_figures(lines: Iterable[Recovered]) -> Dict[str, Dict[str, float]]:
    """The figures of METRICS. Raises ValueError if no frame was hidden."""
    count, correct, nats = (sum(values) for values in zip(*lines)) if (lines := list(lines)) else (0.0, 0.0, 0.0)
    if not count:
        raise ValueError("no frame of these utterances was hidden, so that nothing can be found; they are too short.")
    errors = 100.0 * (1.0 - correct / count)
    return {
        "masked_errors": {"rate": round(errors, 4), "num": count},
        "code_perplexity": {"value": round(math.exp(nats / count), 4)},
    }
