"""How the ids of a sequence become the steps of the decoder, and back: each a step, or the codes of frames together.

With F = 0 frames a step each id is a step, those of a frame one after the other. With more, a step has 1 + F K streams:
the first one holds an id of text, a mark, or FRAME, the only code that it knows. With FRAME the others hold the codes
of F frames, which are told at once, each by itself, and heard as the sum of their vectors: dMel's way
(https://arxiv.org/abs/2407.15835), for frames of many codebooks. The vectors that dMel gives them, from a shared table,
side by side, with a linear layer behind, are a case of such sums. Where a stream has no id there is padding: in all but
the first beside text and marks, and in a last step that is not full.

Letters: S steps, K' streams, T frames, K codebooks, F frames a step.
"""

import dataclasses
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.unit_lm.patterns import Pattern


@dataclasses.dataclass(frozen=True)
class Steps:
    """Steps of the ids of a vocabulary."""

    words: Vocabulary
    frames_per_step: int = 0

    @classmethod
    def of(cls, network: UnitLm, words: Vocabulary) -> "Steps":
        """Those that a network over ids of `words` was built for."""
        return cls(words, (len(network.pattern.codebook_sizes) - 1) // len(words.codebook_sizes))

    @property
    def outline(self) -> Vocabulary:
        """What the first stream holds: all ids, or those with FRAME for codes."""
        return Vocabulary((1,), self.words.text) if self.frames_per_step else self.words

    @property
    def frame(self) -> int:
        """FRAME, where several codes are a step; else the first code."""
        return self.outline.first_unit

    @property
    def codebook_sizes(self) -> Tuple[int, ...]:
        """Ids of each of the K' streams."""
        return (self.outline.size, *self.words.codebook_sizes * self.frames_per_step)

    @property
    def padding(self) -> Tensor:
        """A step of padding, (K',): of the first stream behind END, which the decoder adds to it."""
        return torch.tensor(Pattern("parallel", self.codebook_sizes).stream_sizes)

    def num_of_frames(self, num_frames: int) -> int:
        """Steps of so many frames."""
        if self.frames_per_step:
            return -(-num_frames // self.frames_per_step)
        return num_frames * len(self.words.codebook_sizes)

    def whole_frames(self, num_frames: int) -> int:
        """How many of so many frames fill steps."""
        return num_frames - num_frames % max(1, self.frames_per_step)

    def arranged(self, ids: Sequence[int]) -> Tensor:
        """The steps (S, K') of ids."""
        rows = torch.tensor(ids, dtype=torch.int64)
        if not self.frames_per_step:
            return rows.unsqueeze(1)
        is_code = rows >= self.words.first_unit
        ends = (is_code[1:] != is_code[:-1]).nonzero()[:, 0] + 1
        runs = rows.tensor_split(ends) if len(rows) else ()
        parts = [self._of_codes(run) if int(run[0]) >= self.words.first_unit else self._of_text(run) for run in runs]
        return torch.cat(parts) if parts else self.padding.repeat(0, 1)

    def _of_text(self, ids: Tensor) -> Tensor:
        steps = self.padding.repeat(len(ids), 1)
        steps[:, 0] = ids
        return steps

    def _of_codes(self, ids: Tensor) -> Tensor:
        books, none = len(self.words.codebook_sizes), torch.tensor(self.words.codebook_sizes)
        codes = ids.view(-1, books) - torch.tensor(self.words.starts)
        codes = torch.cat([codes, none.repeat(-len(codes) % self.frames_per_step, 1)])
        codes = codes.reshape(-1, self.frames_per_step * books)
        return F.pad(codes, (1, 0), value=self.frame)

    def restored(self, steps: Tensor) -> List[int]:
        """The ids of steps (S, K')."""
        if not self.frames_per_step:
            return steps[:, 0].tolist()
        codes = steps[:, 1:].unflatten(1, (self.frames_per_step, -1))
        there = (codes < torch.tensor(self.words.codebook_sizes)).all(dim=2)
        codes = codes + torch.tensor(self.words.starts)
        ids: List[int] = []
        for first, rows, whole in zip(steps[:, 0].tolist(), codes, there):
            ids += rows[whole].flatten().tolist() if first == self.frame else [first]
        return ids
