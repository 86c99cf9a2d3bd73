"""Error rates of letters and of phones: of models that say these and no words."""

import dataclasses
from typing import Any, Dict, Mapping

from icefall_discrete.metrics.facts import Metric
from icefall_discrete.metrics.paired import utterance_counts
from icefall_discrete.metrics.wer import ErrorCounts, confidence_interval, total_errors

_LEGEND = (
    "`LER` and `PER` are error rates of letters and of phones in percent: of what sounds, in small letters, without "
    "spaces and marks."
)
METRICS = (
    Metric("ler", "LER", "error rate", _LEGEND),
    Metric("per", "PER", "error rate", _LEGEND),
)


def symbol_scores(metric: str, counts: Mapping[str, ErrorCounts]) -> Dict[str, Any]:
    """What a result says of a set.

    Args:
      metric: a name of METRICS. counts: errors of each utterance, by its id; none: nothing has a reference.
    Returns:
      {metric: {"rate" in percent, "errors", counts, "interval"}, "utterances": what `paired.py` reads}; rate and
      interval are None without a reference.
    """
    total, interval = total_errors(counts.values()), confidence_interval(list(counts.values()))
    figure = {"rate": total.known_rate, "errors": total.errors, **dataclasses.asdict(total)}
    scores = {metric: {**figure, "interval": interval and list(interval)}}
    by_cut = {name: (one.errors, one.num_ref) for name, one in counts.items()}
    return {**scores, **(utterance_counts({metric: by_cut}) if by_cut else {})}
