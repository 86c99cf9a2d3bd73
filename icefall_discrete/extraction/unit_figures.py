"""What the codes of a split say of labels in time: the figures of `metrics/` that go into a result file."""

import logging
from typing import Any, Dict, Iterable, List, Mapping, Sequence

import numpy as np
from lhotse import MonoCut
from tqdm import tqdm

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_durations, load_frames
from icefall_discrete.data.facts import facts_of
from icefall_discrete.metrics.abx import AbxItem, abx_error, items_of
from icefall_discrete.metrics.boundaries import Boundaries, changes
from icefall_discrete.metrics.unit_labels import LabelFigures, UnitLabels, label_scores
from icefall_discrete.text.alignments import Segment, frame_labels

LOG = logging.getLogger(__name__)
_SAME_MOMENT_SEC = 1e-3


def frames_in_time(cut: MonoCut, spec: FeatureSpec) -> np.ndarray:
    """Codes (T, K) or features (T, D) of a cut at a constant rate, units of a variable rate as often as they last.

    Raises ValueError where a code stands for several units, so that it has no place in time.
    """
    frames = load_frames(cut, spec)
    if not spec.has_variable_rate:
        return frames
    durations = load_durations(cut, spec)
    if len(durations) != len(frames):
        raise ValueError(
            f"cut {cut.id}: its {len(frames)} codes stand for {len(durations)} units, so that a code has no place in "
            f"time; measure the feature type that '{spec.name}' is based on."
        )
    return np.repeat(frames, durations, axis=0)


def segments_of(cut: MonoCut, alignments: Mapping[str, Sequence[Segment]]) -> List[Segment]:
    """The segments of a cut in seconds from its begin: by its own id, else from those of its recording; may be none."""
    if cut.id in alignments:
        return list(alignments[cut.id])
    whole = alignments.get(cut.recording_id, ()) if cut.has_recording else ()
    return [
        Segment(one.begin_sec - cut.start, one.end_sec - cut.start, one.label)
        for one in whole
        if one.end_sec > cut.start and one.begin_sec < cut.end
    ]


def _edges(segments: Sequence[Segment], duration_sec: float) -> np.ndarray:
    """Where labels begin or end inside the cut, each moment once."""
    moments = np.unique([moment for one in segments for moment in one[:2]])
    moments = moments[(moments > _SAME_MOMENT_SEC) & (moments < duration_sec - _SAME_MOMENT_SEC)]
    return moments[np.diff(moments, prepend=-1.0) > _SAME_MOMENT_SEC]


class UnitFigures:
    """Counts the utterances of a split."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._rate_hz = spec.max_frame_rate_hz or spec.frame_rate_hz
        self._labels = UnitLabels(spec.codebook_sizes)
        self._boundaries = [Boundaries() for _ in spec.codebook_sizes]
        self._items: List[AbxItem] = []
        self.num_utterances = self.num_without_labels = 0

    def add(self, cut: MonoCut, segments: Sequence[Segment]) -> None:
        """Count a cut with its segments; one without any is only counted as such."""
        if not segments:
            self.num_without_labels += 1
            return
        frames = frames_in_time(cut, self._spec)
        self.num_utterances += 1
        self._items += items_of(frames, self._rate_hz, segments, str(facts_of(cut)["speaker"]))
        if self._spec.kind == "codes":
            self._labels.add(frames, frame_labels(segments, len(frames), self._rate_hz))
            edges = _edges(segments, cut.duration).tolist()
            for k, counted in enumerate(self._boundaries):
                counted.add(edges, changes(frames[:, k], self._rate_hz).tolist())

    def scores(self) -> Dict[str, Any]:
        """For `sets.<split>` of a result, and below "units" what the figures rest on.

        Raises ValueError if no cut had labels.
        """
        if not self.num_utterances:
            raise ValueError(
                f"none of {self.num_without_labels} cuts has labels: the alignment is of other utterances; give one "
                "whose ids are those of these cuts, or of their recordings."
            )
        codebooks = self._labels.codebooks() if self._spec.kind == "codes" else []
        found: Dict[str, Any] = label_scores(codebooks) if codebooks else {}
        if codebooks:
            best = max(self._boundaries, key=lambda counted: counted.r_value)
            found.update(best.scores())
        rests_on: Dict[str, Any] = {
            "num_utterances": self.num_utterances,
            "num_without_labels": self.num_without_labels,
            "num_unlabelled_frames": self._labels.num_unlabelled,
            "codebooks": [_rounded(figures) for figures in codebooks],
        }
        distance = "identical" if self._spec.kind == "codes" else "angular"
        for name, across in (("abx_within", False), ("abx_across", True)):
            error = abx_error(self._items, distance, across)
            rests_on[name] = {"distance": distance, "num_cells": error.num_cells, "num_triples": error.num_triples}
            if error.percent is not None:
                found[name] = {"rate": round(error.percent, 3)}
        return {**found, "units": rests_on}


def _rounded(figures: LabelFigures) -> Dict[str, float]:
    return {name: round(value, 5) for name, value in figures._asdict().items()}


def unit_scores(
    cuts: Iterable[MonoCut], spec: FeatureSpec, alignments: Mapping[str, Sequence[Segment]], title: str
) -> Dict[str, Any]:
    """The figures of cuts whose codes are of `spec`, see `UnitFigures`; cuts without labels are told."""
    figures = UnitFigures(spec)
    for cut in tqdm(cuts, desc=title, unit="cut"):
        figures.add(cut, segments_of(cut, alignments))
    if figures.num_without_labels and figures.num_utterances:
        LOG.warning(f"{title}: {figures.num_without_labels} cuts have no labels in the alignment; they are left out")
    return figures.scores()
