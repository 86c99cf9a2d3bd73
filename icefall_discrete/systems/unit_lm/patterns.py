"""How the K codes of each frame become the steps of a language model, and back, exactly.

A step holds an id of each of K' streams. `flat`: one stream, the codes of a frame one after the other; `delay`: K
streams, codebook k shifted by k steps, MusicGen's pattern (https://arxiv.org/abs/2306.05284); `parallel`: K streams,
the codes of a frame in one step (dMel's, https://arxiv.org/abs/2407.15835). With one codebook all three are the same.

The first stream has one id more, END, which stands behind the last frame, and before the first one as what the model
begins with. The id behind a stream's last is padding: nothing is told there.

Letters: T frames, K codebooks, V_k their sizes, S steps, K' streams.
"""

import dataclasses
import itertools
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

PATTERNS = ("delay", "flat", "parallel")


@dataclasses.dataclass(frozen=True)
class Pattern:
    """One of PATTERNS for codebooks of these sizes."""

    kind: str
    codebook_sizes: Tuple[int, ...]

    @property
    def is_flat(self) -> bool:
        """Whether codes of a frame follow each other."""
        return self.kind == "flat"

    @property
    def stream_sizes(self) -> Tuple[int, ...]:
        """Ids of each of the K' streams, padding not among them."""
        if self.is_flat:
            return (sum(self.codebook_sizes) + 1,)
        return (self.codebook_sizes[0] + 1, *self.codebook_sizes[1:])

    @property
    def end(self) -> int:
        """END, the last id of the first stream."""
        return self.stream_sizes[0] - 1

    @property
    def offsets(self) -> Tensor:
        """(K,) what is added to the codes of each codebook."""
        starts = [0, *itertools.accumulate(self.codebook_sizes)][:-1]
        return torch.tensor(starts if self.is_flat else [0] * len(self.codebook_sizes))

    @property
    def _shifts(self) -> List[int]:
        shifted = self.kind == "delay"
        return [number if shifted else 0 for number in range(len(self.codebook_sizes))]

    def first_step(self) -> Tensor:
        """What the model begins with, (K',)."""
        return torch.tensor([self.end, *self.stream_sizes[1:]])

    def is_open(self, step: int, ended: int) -> List[bool]:
        """Of each of the K' streams whether `step` holds a code, where END is at step `ended`, or not yet (-1)."""
        if self.is_flat:
            return [ended < 0 or step < ended]
        return [shift <= step and (ended < 0 or step - shift < ended) for shift in self._shifts]

    def last_step(self, ended: int) -> int:
        """The last step that holds a code or END, where END is at step `ended`."""
        return ended if self.is_flat else ended + max(0, self._shifts[-1] - 1)

    def arranged(self, codes: Tensor) -> Tensor:
        """The steps (S, K') of codes (T, K) of a whole utterance, END among them."""
        num_frames = len(codes)
        ended = num_frames * (len(self.codebook_sizes) if self.is_flat else 1)
        steps = self.begun(codes, self.last_step(ended) + 1)
        steps[ended, 0] = self.end
        return steps

    def begun(self, codes: Tensor, num_steps: int) -> Tensor:
        """`num_steps` steps (S, K') that begin with codes (T, K), padding where these tell nothing; no END."""
        steps = torch.tensor(self.stream_sizes).repeat(num_steps, 1)
        if self.is_flat:
            placed = (codes + self.offsets.to(codes)).flatten()
            steps[: len(placed), 0] = placed
            return steps
        for stream, shift in enumerate(self._shifts):
            steps[shift : shift + len(codes), stream] = codes[: max(0, num_steps - shift), stream]
        return steps

    def known_steps(self, num_frames: int) -> int:
        """How many of the first steps `num_frames` frames tell wholly."""
        return num_frames * (len(self.codebook_sizes) if self.is_flat else 1)

    def restored(self, steps: Tensor) -> Tensor:
        """The codes (T, K) of steps (S, K'): up to END, or, where there is none, the frames that are whole."""
        books = len(self.codebook_sizes)
        ends = (steps[:, 0] == self.end).nonzero()[:, 0].tolist()
        if self.is_flat:
            length = (ends[0] if ends else len(steps)) // books
            return steps[: length * books, 0].reshape(length, books) - self.offsets.to(steps)
        length = min([*ends[:1], max(0, len(steps) - self._shifts[-1])])
        columns = [steps[shift : shift + length, stream] for stream, shift in enumerate(self._shifts)]
        return torch.stack(columns, dim=1)

    def choosable(self, step: int) -> Tensor:
        """Which ids of all streams, side by side, (sum V'), may stand in a step: in a flat one those of its codebook.

        END may stand where a frame begins.
        """
        allowed = torch.ones(sum(self.stream_sizes), dtype=torch.bool)
        if self.is_flat:
            place = step % len(self.codebook_sizes)
            start = int(self.offsets[place])
            allowed[:] = False
            allowed[start : start + self.codebook_sizes[place]] = True
            allowed[self.end] = place == 0
        return allowed


def require_units(codes: Tensor, codebook_sizes: Sequence[int]) -> None:
    """Raise ValueError unless codes (T, K) are those of codebooks of these sizes: others would mean END, or padding."""
    if codes.dim() != 2 or codes.shape[1] != len(codebook_sizes):
        raise ValueError(f"codes have shape {tuple(codes.shape)}, expected (frames, {len(codebook_sizes)}).")
    beyond = codes[(codes < 0) | (codes >= torch.tensor(codebook_sizes))]
    if len(beyond):
        raise ValueError(
            f"there is the code {int(beyond[0])}, expected codes, from 0 on, of codebooks of "
            f"{', '.join(map(str, codebook_sizes))}; give those of the feature type that the model was trained on."
        )


def padded(steps: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Steps (N, S, K') of sequences (S_n, K'), with padding behind them."""
    together = torch.tensor(sizes).repeat(len(steps), max(map(len, steps)), 1)
    for row, one in zip(together, steps):
        row[: len(one)] = one
    return together
