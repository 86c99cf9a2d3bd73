"""Which places of a padded batch are no frames, for convolutions and for attention."""

from typing import Optional

from torch import Tensor

from icefall_discrete.nn.lengths import padding_mask


def frame_padding(x: Tensor, lens: Tensor) -> Optional[Tensor]:
    """(N, T, 1) bool, True where x (N, T, D) with lens (N,) has no frame; None if there are no such places."""
    padding = padding_mask(lens, x.shape[1])
    return None if padding is None else padding.unsqueeze(2)


def hidden_sources(padding: Optional[Tensor]) -> Optional[Tensor]:
    """(N, 1, T) of padding (N, T, 1): sources that no target sees."""
    return None if padding is None else padding.transpose(1, 2)


def without_padding(x: Tensor, padding: Optional[Tensor]) -> Tensor:
    """x (N, T, D) with zeros where padding (N, T, 1) is True: what a convolution may see beside an utterance."""
    return x if padding is None else x.masked_fill(padding, 0.0)
