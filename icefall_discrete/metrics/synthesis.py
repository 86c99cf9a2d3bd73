"""How near units of a text are to those of a recording of it."""

from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "Unit edits are insertions, deletions and substitutions against the units of the recording, without repetitions, a "
    "mean over codebooks; the length error is by how much an utterance is longer or shorter than the recording."
)
METRICS = (
    Metric("unit_edits", "unit edits", "error rate", _LEGEND, is_aside=True),
    Metric("length_error", "length error", "error", _LEGEND, is_aside=True),
)
