"""What beam searches share: the order of utterances, the way back through the beam, and the list of what was found."""

import dataclasses
from typing import List, Tuple

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
        return sum(length > frame for length in self.lens)


class Traces:
    """Parent slot and unit of every slot at every frame.

    Args:
      order: of the utterances. beam_size: K. blank_id: unit of a slot that emits nothing.
    """

    def __init__(self, order: Order, beam_size: int, blank_id: int, device: torch.device) -> None:
        self._order, self._blank_id = order, blank_id
        # After the end of an utterance every slot is its own parent and emits nothing.
        slots = torch.arange(beam_size, device=device)
        self._parents = slots.repeat(order.num_frames, len(order.lens), 1)
        self._units = torch.full_like(self._parents, blank_id)

    def add(self, frame: int, parents: Tensor, units: Tensor) -> None:
        """Note parents and units (N', K) of the utterances that have this frame."""
        self._parents[frame, : len(parents)], self._units[frame, : len(units)] = parents, units

    def best(self, score: Tensor, rank: Tensor, nbest: int) -> List[List[Hypothesis]]:
        """The `nbest` hypotheses of each utterance, best first, in the order of the batch.

        Args:
          score: (N, K) of the last slots, -inf where a slot is not in use. rank: (N, K), what they are sorted by.
        """
        slots = rank.masked_fill(score == float("-inf"), float("-inf")).sort(dim=1, descending=True).indices
        slots = slots[:, : min(nbest, slots.size(1))]
        scores = score.gather(1, slots).tolist()
        found = self._follow(slots.cpu())
        lists: List[List[Hypothesis]] = [[] for _ in scores]
        for n, row_scores, row_found in zip(self._order.utterances, scores, found):
            in_use = [(trace, s) for trace, s in zip(row_found, row_scores) if s > float("-inf")]
            lists[n] = [Hypothesis(labels, times, s) for (labels, times), s in in_use]
        return lists

    def _follow(self, slots: Tensor) -> List[List[Tuple[List[int], List[int]]]]:
        """Labels and their frames on the ways to `slots` (N, B)."""
        parents, units = self._parents.cpu(), self._units.cpu()
        path = torch.empty(*slots.shape, parents.size(0), dtype=torch.int64)
        for frame in range(parents.size(0) - 1, -1, -1):
            path[:, :, frame] = units[frame].gather(1, slots)
            slots = parents[frame].gather(1, slots)
        return [[self._read(way) for way in row] for row in path.tolist()]

    def _read(self, way: List[int]) -> Tuple[List[int], List[int]]:
        frames = [frame for frame, unit in enumerate(way) if unit != self._blank_id]
        return [way[frame] for frame in frames], frames
