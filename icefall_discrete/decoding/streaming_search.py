"""Searches that go on where they stopped: encoder frames come in pieces, from streams that began at different times.

A stream's hypothesis after all of its frames is the one that greedy_search, modified_beam_search or ctc_greedy_search
finds at once.
"""

from dataclasses import dataclass
from typing import Any, Callable, List, NamedTuple, Optional, Protocol, Sequence

import torch
from torch import Tensor

from icefall_discrete.decoding.beams import Beams, advance_beams, start_beams
from icefall_discrete.decoding.hypothesis import Hypothesis, initial_context
from icefall_discrete.decoding.modified_beam import BeamConfig, NextUnits
from icefall_discrete.decoding.prediction import Predictions
from icefall_discrete.decoding.scorer import Scorer, SlotScores
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import CtcModel, TransducerModel

# From the name of a stream to what language models and phrases say in it; none is shared by two streams, since a scorer
# may remember what it has read.
ScorerOfStream = Callable[[str], Optional[Scorer]]


class StreamSearch(Protocol):
    """A search over streams; what it knows of one of them is in an object that `open` makes."""

    def open(self, name: str) -> Any:
        """The state of a stream before its first frame; scorers are told its name."""

    def advance(self, encoder_out: Tensor, lens: Sequence[int], streams: Sequence[Any]) -> None:
        """Bring streams up to date with their next frames, encoder_out (N, T', D), of which each has lens[n]."""

    def best(self, stream: Any) -> Hypothesis:
        """What was found so far; timestamps count from the stream's first frame."""


@dataclass
class GreedyStream:
    """One stream's labels so far; context: (1, context_size)."""

    context: Tensor
    labels: List[int]
    timestamps: List[int]
    score: float = 0.0
    num_frames: int = 0


class StreamingGreedy:
    """Greedy search with at most one label a frame.

    Args:
      model: has `predictor` and `joiner`. blank_penalty: taken off the logit of blank. emit_unk: whether `<unk>` may
        be found.
    """

    def __init__(self, model: TransducerModel, blank_penalty: float = 0.0, emit_unk: bool = False) -> None:
        self._model, self._blank_penalty, self._emit_unk = model, blank_penalty, emit_unk
        with torch.no_grad():
            self._predictions = Predictions(model)

    def open(self, name: str = "") -> GreedyStream:
        """The state of a stream before its first frame."""
        predictor = self._model.predictor
        device = predictor.embedding.weight.device
        return GreedyStream(initial_context(1, predictor.context_size, self._model.blank_id, device), [], [])

    @torch.no_grad()
    def advance(self, encoder_out: Tensor, lens: Sequence[int], streams: Sequence[GreedyStream]) -> None:
        """Take the best unit at each of the next frames of each stream."""
        model, blank_id = self._model, self._model.blank_id
        am = model.joiner.encoder_proj(encoder_out)
        context = torch.cat([stream.context for stream in streams])
        ends = torch.tensor(list(lens), device=am.device)
        lm = self._predictions.of(context)
        units, scores = [], []
        for frame in range(max(lens)):
            logits = model.joiner(am[:, frame], lm, project_input=False)
            best, unit = unit_log_probs(logits, model, self._blank_penalty, emit_unk=self._emit_unk).max(dim=1)
            units.append(unit)
            scores.append(best)
            emits = (unit != blank_id) & (frame < ends)
            if emits.any():
                moved = torch.cat([context[:, 1:], unit.unsqueeze(1)], dim=1)
                context = torch.where(emits.unsqueeze(1), moved, context)
                lm = self._predictions.of(context)
        unit_rows, score_rows = torch.stack(units, dim=1).tolist(), torch.stack(scores, dim=1).tolist()
        for row, (stream, length) in enumerate(zip(streams, lens)):
            frames = [frame for frame in range(length) if unit_rows[row][frame] != blank_id]
            stream.labels.extend(unit_rows[row][frame] for frame in frames)
            stream.timestamps.extend(stream.num_frames + frame for frame in frames)
            stream.score += sum(score_rows[row][:length])
            stream.num_frames += length
            stream.context = context[row : row + 1]

    def best(self, stream: GreedyStream) -> Hypothesis:
        """What was found so far."""
        return Hypothesis(list(stream.labels), list(stream.timestamps), stream.score)


@dataclass
class CtcStream:
    """One stream's labels so far, and the unit of its last frame."""

    last: int
    labels: List[int]
    timestamps: List[int]
    score: float = 0.0
    num_frames: int = 0


class StreamingCtcGreedy:
    """Greedy search of the CTC head.

    Args:
      model: has `ctc_output`. The others are those of StreamingGreedy.
    """

    def __init__(self, model: CtcModel, blank_penalty: float = 0.0, emit_unk: bool = False) -> None:
        self._model, self._blank_penalty, self._emit_unk = model, blank_penalty, emit_unk

    def open(self, name: str = "") -> CtcStream:
        """The state of a stream before its first frame."""
        return CtcStream(self._model.blank_id, [], [])

    @torch.no_grad()
    def advance(self, encoder_out: Tensor, lens: Sequence[int], streams: Sequence[CtcStream]) -> None:
        """Take the best unit at each of the next frames of each stream."""
        logits = self._model.ctc_output(encoder_out)
        best, units = unit_log_probs(logits, self._model, self._blank_penalty, emit_unk=self._emit_unk).max(dim=2)
        for stream, length, scores, row in zip(streams, lens, best.tolist(), units.tolist()):
            for unit in row[:length]:
                if unit not in (self._model.blank_id, stream.last):
                    stream.labels.append(unit)
                    stream.timestamps.append(stream.num_frames)
                stream.last = unit
                stream.num_frames += 1
            stream.score += sum(scores[:length])

    def best(self, stream: CtcStream) -> Hypothesis:
        """What was found so far."""
        return Hypothesis(list(stream.labels), list(stream.timestamps), stream.score)


class _Label(NamedTuple):
    """A label of a prefix, and the one before it; prefixes share their beginnings."""

    unit: int
    frame: int
    before: Optional["_Label"]


def _labels(last: Optional[_Label]) -> List[_Label]:
    """The labels of a prefix from its first to `last`."""
    labels = []
    while last is not None:
        labels.append(last)
        last = last.before
    return labels[::-1]


def _joined(parts: Sequence[Beams]) -> Beams:
    """Beams of several streams as one batch."""
    return Beams(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _rows(beams: Beams, start: int, end: int) -> Beams:
    """Some streams of a batch."""
    return Beams(**{name: value[start:end] for name, value in vars(beams).items()})


@dataclass
class BeamStream:
    """One stream's prefixes: the beam of a batch of one, what scorers say of it, and the last label of each slot."""

    beams: Beams
    extra: SlotScores
    last: List[Optional[_Label]]
    num_frames: int = 0


class StreamingModifiedBeam:
    """Modified beam search, at most one label a frame.

    Args:
      model: has `predictor` and `joiner`. config: beam and logits. scorer_of: adds scores to labels; None: none.
    """

    def __init__(self, model: TransducerModel, config: BeamConfig, scorer_of: Optional[ScorerOfStream] = None) -> None:
        self._model, self._config, self._scorer_of = model, config, scorer_of
        self._next_units = NextUnits(model, config)

    @torch.no_grad()
    def open(self, name: str = "") -> BeamStream:
        """The state of a stream before its first frame."""
        size, device = self._config.beam_size, self._model.predictor.embedding.weight.device
        scorer = None if self._scorer_of is None else self._scorer_of(name)
        extra = SlotScores(scorer, torch.zeros(1, dtype=torch.int64, device=device), size, self._model.blank_id)
        return BeamStream(start_beams(self._model, 1, size, device), extra, [None] * size)

    @torch.no_grad()
    def advance(self, encoder_out: Tensor, lens: Sequence[int], streams: Sequence[BeamStream]) -> None:
        """Extend the prefixes of each stream by its next frames."""
        model = self._model
        # Longest first: at any frame the streams still searched are then the first ones.
        order = sorted(range(len(streams)), key=lambda row: -lens[row])
        lens = [lens[row] for row in order]
        rows = torch.tensor(order, device=encoder_out.device)
        am = model.joiner.encoder_proj(encoder_out.transpose(0, 1).index_select(1, rows))
        beams = _joined([streams[row].beams for row in order])

        def add_to(log_probs: Tensor) -> Tensor:
            extras = (streams[row].extra for row in order)
            return torch.cat([extra.add_to(part) for extra, part in zip(extras, log_probs.split(1))])

        for frame in range(lens[0]):
            frame_am = am[frame, : len(beams.score)]
            candidates = self._next_units.candidates(frame_am, beams, None if self._scorer_of is None else add_to)
            beams, parents, units = advance_beams(beams, candidates, model.blank_id)
            active = sum(length > frame + 1 for length in lens)
            for place, (row_parents, row_units) in enumerate(zip(parents.tolist(), units.tolist())):
                stream = streams[order[place]]
                stream.extra.move(parents[place : place + 1], units[place : place + 1])
                self._follow(stream, row_parents, row_units)
                if place >= active:
                    stream.beams = _rows(beams, place, place + 1)
            beams = _rows(beams, 0, active)

    def _follow(self, stream: BeamStream, parents: Sequence[int], units: Sequence[int]) -> None:
        blank_id, frame, before = self._model.blank_id, stream.num_frames, stream.last
        stream.last = [
            before[parent] if unit == blank_id else _Label(unit, frame, before[parent])
            for parent, unit in zip(parents, units)
        ]
        stream.num_frames += 1

    def best(self, stream: BeamStream) -> Hypothesis:
        """The prefix with the best score divided by its length, as modified_beam_search chooses it."""
        score = stream.extra.final(stream.beams.score)[0]
        found = [_labels(last) for last in stream.last]
        lengths = torch.tensor([len(labels) for labels in found], device=score.device)
        slot = int((score / (lengths + self._model.predictor.context_size)).argmax())
        labels = found[slot]
        return Hypothesis([one.unit for one in labels], [one.frame for one in labels], float(score[slot]))
