"""What beam searches share: the order of utterances, the way back through the beam, and the list of what was found."""

import bisect
import dataclasses
import functools
from typing import List

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis


@dataclasses.dataclass(frozen=True)
class Order:
    """Utterances sorted by length, longest first: at any frame those still searched are then the first ones."""

    utterances: List[int]
    lens: List[int]

    @classmethod
    def of(cls, lens: List[int]) -> "Order":
        """The order for lengths `lens`."""
        utterances = sorted(range(len(lens)), key=lambda n: -lens[n])
        return cls(utterances, [lens[n] for n in utterances])

    @property
    def num_frames(self) -> int:
        """Length of the longest utterance; 0 if there is none."""
        return max(self.lens, default=0)

    def index(self, device: torch.device) -> Tensor:
        """The utterances as an index (N,)."""
        return torch.tensor(self.utterances, dtype=torch.int64, device=device)

    def num_active(self, frame: int) -> int:
        """How many utterances have frame `frame` (from 0)."""
        return len(self.lens) - bisect.bisect_right(self._shortest_first, frame)

    @functools.cached_property
    def _shortest_first(self) -> List[int]:
        return self.lens[::-1]


class Traces:
    """Parent slot and unit of every slot at every frame.

    Args:
      order: of the utterances. beam_size: K. blank_id: unit of a slot that emits nothing.
    """

    def __init__(self, order: Order, beam_size: int, blank_id: int) -> None:
        self._order, self._beam_size, self._blank_id = order, beam_size, blank_id
        self._parents: List[Tensor] = []
        self._units: List[Tensor] = []

    def add(self, parents: Tensor, units: Tensor) -> None:
        """Note parents and units (N', K) of the utterances that have the next frame."""
        self._parents.append(parents)
        self._units.append(units)

    def best(self, score: Tensor, rank: Tensor, nbest: int) -> List[List[Hypothesis]]:
        """The `nbest` hypotheses of each utterance, best first, in the order of the batch.

        Args:
          score: (N, K) of the last slots, -inf where a slot is not in use. rank: (N, K), what they are sorted by.
        """
        slots = rank.masked_fill(score == float("-inf"), float("-inf")).sort(dim=1, descending=True).indices
        slots = slots[:, : min(nbest, slots.size(1))]
        scores = score.gather(1, slots).tolist()
        ways = self._follow(slots.cpu().numpy())
        lists: List[List[Hypothesis]] = [[] for _ in scores]
        for place, n in enumerate(self._order.utterances):
            in_use = [(ways[:, place, rank], s) for rank, s in enumerate(scores[place]) if s > float("-inf")]
            lists[n] = [self._hypothesis(way, s) for way, s in in_use]
        return lists

    def _follow(self, slots: np.ndarray) -> np.ndarray:
        """The units (T', N, B) on the ways to `slots` (N, B); blank behind the end of an utterance."""
        parents, units = _on_cpu(self._parents), _on_cpu(self._units)
        path = np.full((len(units), *slots.shape), self._blank_id)
        firsts = np.arange(0, slots.shape[0] * self._beam_size, self._beam_size)[:, None]
        for frame in range(len(units) - 1, -1, -1):
            active = len(units[frame]) // self._beam_size
            places = slots[:active] + firsts[:active]
            path[frame, :active] = units[frame][places]
            slots[:active] = parents[frame][places]
        return path

    def _hypothesis(self, way: np.ndarray, score: float) -> Hypothesis:
        frames = np.flatnonzero(way != self._blank_id)
        return Hypothesis(way[frames].tolist(), frames.tolist(), score)


def _on_cpu(frames: List[Tensor]) -> List[np.ndarray]:
    """Tensors of several frames, flat, brought to the CPU in one go."""
    if not frames:
        return []
    ends = np.cumsum([frame.numel() for frame in frames])
    return np.split(torch.cat([frame.flatten() for frame in frames]).cpu().numpy(), ends[:-1])
