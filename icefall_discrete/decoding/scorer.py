"""Scorers: outside knowledge for a beam search, with a state for each prefix that is carried along with it."""

import itertools
from typing import List, Optional, Protocol, Sequence, Tuple

import torch
from torch import Tensor

State = Tuple[Tensor, ...]  # tensors (M, ...), one row for each prefix


class Scorer(Protocol):
    """A language model, a list of phrases to prefer, or a sum of such; it sees labels, never blanks."""

    def start(self, utterances: Tensor) -> Tuple[State, Tensor]:
        """Begin a search.

        Args:
          utterances: (M,) int64, the utterance of the batch (from 0) to which each empty prefix belongs.

        Returns:
          the states of the empty prefixes, and (M, V) scores in nats to add to each first label. The column of blank
          is ignored.
        """

    def advance(self, state: State, units: Tensor) -> Tuple[State, Tensor]:
        """Append label units (E,) to the E prefixes of `state`; returns their new states and (E, V) scores."""

    def final(self, state: State) -> Tensor:
        """(M,) nats to add to prefixes at the end of their utterance."""


class SumScorer:
    """The weighted sum of scorers, such as a language model minus one of low order (LODR) plus phrases to prefer."""

    def __init__(self, scorers: Sequence[Scorer], scales: Sequence[float]) -> None:
        if len(scorers) != len(scales):
            raise ValueError(f"a sum of {len(scorers)} scorers was given {len(scales)} scales.")
        self._scorers, self._scales = list(scorers), list(scales)
        self._sizes = [0] * len(self._scorers)

    def start(self, utterances: Tensor) -> Tuple[State, Tensor]:
        """Begin a search with each scorer."""
        begun = [scorer.start(utterances) for scorer in self._scorers]
        self._sizes = [len(state) for state, _ in begun]
        return self._joined(begun)

    def advance(self, state: State, units: Tensor) -> Tuple[State, Tensor]:
        """Append labels in each scorer."""
        return self._joined([scorer.advance(part, units) for scorer, part in zip(self._scorers, self._split(state))])

    def final(self, state: State) -> Tensor:
        """The weighted sum at the end."""
        parts = zip(self._scorers, self._scales, self._split(state))
        return torch.stack([scorer.final(part) * scale for scorer, scale, part in parts]).sum(dim=0)

    def _joined(self, results: List[Tuple[State, Tensor]]) -> Tuple[State, Tensor]:
        total = sum((scores * scale for (_, scores), scale in zip(results, self._scales)), torch.zeros(()))
        return tuple(tensor for state, _ in results for tensor in state), total

    def _split(self, state: State) -> List[State]:
        ends = itertools.accumulate(self._sizes)
        return [state[end - size : end] for end, size in zip(ends, self._sizes)]


class SlotScores:
    """The scorer's states and scores for the slots of a beam search: K prefixes of each of N utterances.

    Args:
      scorer: None gives scores of nothing. utterances: (N,) which utterance of the batch each row is.
    """

    def __init__(self, scorer: Optional[Scorer], utterances: Tensor, beam_size: int, blank_id: int) -> None:
        self._scorer, self._beam_size, self._blank_id = scorer, beam_size, blank_id
        if scorer is not None:
            state, scores = scorer.start(utterances.repeat_interleave(beam_size))
            self._state, self._scores = tuple(tensor.clone() for tensor in state), scores.clone()
            self._scores[:, blank_id] = 0.0

    def add_to(self, log_probs: Tensor, units: Optional[Tensor] = None) -> Tensor:
        """Scores (N', K, V) of labels, or (N', K, L) of `units`, with the scorer's added, for the first utterances."""
        if self._scorer is None:
            return log_probs
        num, size = log_probs.shape[:2]
        scores = self._scores[: num * size].view(num, size, -1)
        return log_probs + (scores if units is None else scores.gather(2, units))

    def move(self, parents: Tensor, units: Tensor) -> None:
        """Follow the search: slot (n, k) of the first N' utterances is now slot (n, parents[n, k]) with its unit.

        Args:
          parents: (N', K) slots. units: (N', K), blank where nothing was appended.
        """
        if self._scorer is None:
            return
        num, size = parents.shape
        rows = (parents + torch.arange(num, device=parents.device).unsqueeze(1) * size).flatten()
        for tensor in (*self._state, self._scores):
            tensor[: num * size] = tensor[rows]
        emitting = (units.flatten() != self._blank_id).nonzero().squeeze(1)
        if emitting.numel() == 0:
            return
        before = tuple(tensor[emitting] for tensor in self._state)
        after, scores = self._scorer.advance(before, units.flatten()[emitting])
        scores = scores.clone()
        scores[:, self._blank_id] = 0.0
        for tensor, rows_after in zip((*self._state, self._scores), (*after, scores)):
            tensor[emitting] = rows_after

    def final(self, score: Tensor) -> Tensor:
        """Scores (N, K) with what the scorer adds at the end."""
        return score if self._scorer is None else score + self._scorer.final(self._state).view_as(score)
