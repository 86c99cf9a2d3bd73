"""What units say of phones (or letters): purities and PNMI, as HuBERT's paper measures its clusters.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447, section IV-D; z units, y labels, frame by frame:
purity of labels E_z max_y p(y|z), purity of clusters E_y max_z p(z|y), PNMI = I(y; z) / H(y).

All three grow with the number of units, and with fewer frames: units that know nothing have a PNMI above 0, since few
counts look like dependence. How much that is, is measured beside: the same figure with the frames' labels shuffled.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "PNMI is the part of the labels' (phones' or letters') entropy that units tell, of the codebook that tells most; "
    "`by chance` is what shuffled labels have, so that only the rest means something. Compare equal numbers of units."
)
_PURITY = "Label purity is how often the commonest label of a unit is right, cluster purity the reverse."
METRICS = (
    Metric("pnmi", "PNMI", "information", _LEGEND, unit="", higher_is_better=True, decimals=3),
    Metric("pnmi_by_chance", "PNMI by chance", "information", _LEGEND, unit="", decimals=3, is_aside=True),
    Metric("label_purity", "label purity", "purity", _PURITY, "", True, 3, is_aside=True),
    Metric("cluster_purity", "cluster purity", "purity", _PURITY, "", True, 3, is_aside=True),
)
_SHUFFLES = 3


class LabelFigures(NamedTuple):
    """Of one codebook. num_units, num_labels: those that occur. pnmi_by_chance: mean PNMI of shuffled labels."""

    pnmi: float
    pnmi_by_chance: float
    label_purity: float
    cluster_purity: float
    num_frames: int
    num_units: int
    num_labels: int


class UnitLabels:
    """Counts pairs of unit and label of K codebooks over any number of utterances."""

    def __init__(self, codebook_sizes: Sequence[int]) -> None:
        self._sizes = tuple(codebook_sizes)
        self._units: List[np.ndarray] = []
        self._labels: List[np.ndarray] = []
        self._names: Dict[str, int] = {}
        self.num_unlabelled = 0

    def add(self, codes: np.ndarray, labels: Sequence[Optional[str]]) -> None:
        """Count the frames of an utterance, codes (T, K) and T labels; frames labelled None are left out.

        Raises ValueError for another number of codebooks or labels.
        """
        if codes.ndim != 2 or codes.shape[1] != len(self._sizes) or len(codes) != len(labels):
            raise ValueError(
                f"codes are {codes.shape} with {len(labels)} labels, expected (T, {len(self._sizes)}) and T labels."
            )
        ids = np.array([-1 if name is None else self._names.setdefault(name, len(self._names)) for name in labels], int)
        known = ids >= 0
        self.num_unlabelled += int((~known).sum())
        self._units.append(codes[known].astype(np.int64))
        self._labels.append(ids[known])

    def codebooks(self, seed: int = 0) -> List[LabelFigures]:
        """Figures of each codebook. Raises ValueError if no frame had a label, or all had the same."""
        labels = np.concatenate(self._labels) if self._labels else np.zeros(0, dtype=np.int64)
        if not len(labels):
            raise ValueError(
                f"none of {self.num_unlabelled} frames has a label: alignment and codes have no frames in common; give "
                "the alignment of these utterances."
            )
        if len(self._names) < 2:
            raise ValueError(f"all {len(labels)} frames are labelled '{next(iter(self._names))}'; expected two labels.")
        units = np.concatenate(self._units)
        generator = np.random.default_rng(seed)
        shuffled = [generator.permutation(labels) for _ in range(_SHUFFLES)]
        return [_figures(units[:, k], size, labels, shuffled) for k, size in enumerate(self._sizes)]


def _figures(units: np.ndarray, size: int, labels: np.ndarray, shuffled: Sequence[np.ndarray]) -> LabelFigures:
    counts = _counts(units, size, labels)
    return LabelFigures(
        normalised_information(counts),
        float(np.mean([normalised_information(_counts(units, size, one)) for one in shuffled])),
        float(counts.max(axis=1).sum() / counts.sum()),
        float(counts.max(axis=0).sum() / counts.sum()),
        len(units),
        *(int((counts.sum(axis=axis) > 0).sum()) for axis in (1, 0)),
    )


def _counts(units: np.ndarray, size: int, labels: np.ndarray) -> np.ndarray:
    num_labels = int(labels.max()) + 1
    return np.bincount(units * num_labels + labels, minlength=size * num_labels).reshape(size, num_labels)


def normalised_information(counts: np.ndarray) -> float:
    """I(y; z) / H(y) of counts (units, labels): 1 where each unit has one label, 0 where they are independent."""
    joint = counts / counts.sum()
    of_unit, of_label = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    there = joint > 0
    information = (joint[there] * np.log(joint[there] / (of_unit * of_label)[there])).sum()
    probabilities = of_label[of_label > 0]
    entropy = -(probabilities * np.log(probabilities)).sum()
    return float(information / entropy) if entropy > 0 else 0.0


def label_scores(codebooks: Sequence[LabelFigures]) -> Dict[str, Any]:
    """For `sets.<split>` of a result: the figures of the codebook that tells most, by the names of METRICS."""
    best = max(codebooks, key=lambda figures: figures.pnmi - figures.pnmi_by_chance)
    return {metric.name: {"value": round(getattr(best, metric.name), 5)} for metric in METRICS}
