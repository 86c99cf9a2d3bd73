"""Where the frames of each utterance of a padded batch end, for modules that look at neighbours or at all of them.

What is behind an end is read by none of these: a convolution sees zeros there, or the utterance mirrored at its own
last frame; attention, a mean and a variance are of its own frames. Letters: N utterances, T frames, D dimension.
"""

import functools
from typing import Dict, Optional

import torch
from torch import Tensor

from icefall_discrete.nn.lengths import downsampled_lens, padding_mask


class UtteranceFrames:
    """The extents of a batch.

    Args:
      lens: frames of each utterance (N,); one without any counts as one frame. num_frames: T of the padded batch.
    """

    def __init__(self, lens: Tensor, num_frames: int) -> None:
        self.lens = lens.clamp(min=1)
        self.num_frames = num_frames
        mask = padding_mask(self.lens, num_frames)
        self._padding = None if mask is None else mask.unsqueeze(2)
        self._mirrored_rows: Dict[int, Tensor] = {}

    @functools.cached_property
    def _valid_rows(self) -> Optional[Tensor]:
        # Found when they are asked for: a GPU has to be waited for.
        return None if self._padding is None else (~self._padding).flatten().nonzero().squeeze(1)

    @property
    def hidden_sources(self) -> Optional[Tensor]:
        """(N, 1, T) bool, True for sources that no target sees; None if there are none."""
        return None if self._padding is None else self._padding.transpose(1, 2)

    def without_padding(self, x: Tensor) -> Tensor:
        """Return x (N, T, D) with zeros behind the end of each utterance."""
        return x if self._padding is None else x.masked_fill(self._padding, 0.0)

    def downsampled(self, factor: int) -> "UtteranceFrames":
        """The extents after one of `factor` frames is kept, the first one first; itself where all are."""
        if factor == 1:
            return self
        return UtteranceFrames(downsampled_lens(self.lens, factor), downsampled_lens(self.num_frames, factor))

    def mirrored(self, x: Tensor, reach: int) -> Tensor:
        """Return x (N, T, D) with `reach` more frames on both sides (N, T + 2 reach, D), mirrored at both ends.

        The last frame itself is not repeated; an utterance too short for that is mirrored back and forth.
        """
        if reach == 0:
            return x
        if reach not in self._mirrored_rows:
            place = torch.arange(-reach, self.num_frames + reach, device=self.lens.device)
            period = (2 * (self.lens - 1)).clamp(min=1).unsqueeze(1)
            place = place.unsqueeze(0).remainder(period)
            first = torch.arange(self.lens.shape[0], device=self.lens.device).unsqueeze(1) * self.num_frames
            self._mirrored_rows[reach] = (torch.minimum(place, period - place) + first).flatten()
        rows = x.reshape(-1, x.shape[2]).index_select(0, self._mirrored_rows[reach])
        return rows.view(x.shape[0], -1, x.shape[2])

    def valid(self, x: Tensor) -> Tensor:
        """The frames (M, D) of x (N, T, D) that are none of padding, one utterance after the other."""
        rows = x.reshape(-1, x.shape[2])
        return rows if self._valid_rows is None else rows.index_select(0, self._valid_rows)

    def spread(self, valid: Tensor) -> Tensor:
        """What `valid` gave, (M, D), in its places (N, T, D); zeros are padding."""
        shape = (len(self.lens), self.num_frames, valid.shape[1])
        if self._valid_rows is None:
            return valid.view(shape)
        rows = valid.new_zeros((shape[0] * shape[1], shape[2]))
        return rows.index_copy(0, self._valid_rows, valid).view(shape)

    def mean(self, x: Tensor) -> Tensor:
        """Mean (N, 1, D) over the frames of each utterance of x (N, T, D), in float32 whatever the number format."""
        valid = x.float() if self._padding is None else x.float().masked_fill(self._padding, 0.0)
        return valid.sum(dim=1, keepdim=True) / self.lens.view(-1, 1, 1)

    def weights(self, scores: Tensor) -> Tensor:
        """Softmax over the frames of each utterance of scores (N, T, D), 0 at padding."""
        valid = scores.float() if self._padding is None else scores.float().masked_fill(self._padding, float("-inf"))
        return valid.softmax(dim=1)
