"""Normalisations of wav2vec and CPC: over all channels and frames of an utterance, or over the channels of a frame.

The first is a group normalisation of one group, https://arxiv.org/abs/1803.08494, that knows where utterances end.
Letters: N utterances, T frames, C channels.
"""

from typing import Callable, Dict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.lengths import padding_mask, with_whole_gradients

_EPSILON = 1e-5


def _gelu(x: Tensor) -> Tensor:
    return with_whole_gradients(F.gelu(x))


ACTIVATIONS: Dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": _gelu}


class ScaledNorm(nn.Module):
    """Weight and bias of each channel.

    Args:
      channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))


class UtteranceNorm(ScaledNorm):
    """Mean 0 and variance 1 over all channels of all frames of an utterance."""

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Normalise x (N, T, C) with lens (N,); padding takes no part."""
        mask = padding_mask(lens, x.shape[1])
        padding = None if mask is None else mask.unsqueeze(2)
        count = lens.clamp(min=1).view(-1, 1, 1) * x.shape[2]

        def mean(values: Tensor) -> Tensor:
            own = values if padding is None else values.masked_fill(padding, 0.0)
            return own.sum(dim=(1, 2), keepdim=True) / count

        off = x.float() - mean(x.float())
        normal = off * (mean(off.square()) + _EPSILON).rsqrt()
        return normal.to(x.dtype) * self.weight + self.bias


class FrameNorm(ScaledNorm):
    """Mean 0 and variance 1 over the channels of each frame; the variance as CPC_audio has it, over C - 1."""

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Normalise x (N, T, C)."""
        variance, mean = torch.var_mean(x.float(), dim=2, keepdim=True)
        normal = (x.float() - mean) * (variance + _EPSILON).rsqrt()
        return normal.to(x.dtype) * self.weight + self.bias
