"""How near units of a text are to those of a recording of it, and what others measure of synthesis."""

from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "Unit edits are insertions, deletions and substitutions against the units of the recording, without repetitions, a "
    "mean over codebooks; the length error is by how much an utterance is longer or shorter than the recording."
)
_JUDGED = "UTMOS, a judge's guess of quality from 1 to 5, is of others' figures only: it is not measured here."
METRICS = (
    Metric("unit_edits", "unit edits", "error rate", _LEGEND, is_aside=True),
    Metric("utmos", "UTMOS", "quality", _JUDGED, unit="", higher_is_better=True, decimals=2, is_aside=True),
    Metric("length_error", "length error", "error", _LEGEND, is_aside=True),
)
