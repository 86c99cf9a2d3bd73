"""HiFi-GAN's discriminators: networks that tell recordings from what a generator says, each by another view of it.

Kong et al. 2020, https://arxiv.org/abs/2010.05646: one for each period (samples in rows of that many, convolved over
rows) and one for each scale (audio at half the rate of the one before). N pieces of audio, S samples.
"""

import math
from typing import List, NamedTuple, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

SLOPE = 0.1
# The widths below are for this widest layer.
FULL_WIDTH = 1024
PERIOD_WIDTHS = (32, 128, 512, 1024, 1024)
PERIOD_STRIDES = (3, 3, 3, 3, 1)
SCALE_WIDTHS = (128, 128, 256, 512, 1024, 1024, 1024)
SCALE_KERNELS = (15, 41, 41, 41, 41, 41, 5)
SCALE_STRIDES = (1, 2, 2, 4, 4, 1, 1)
SCALE_GROUPS = (1, 4, 16, 16, 16, 16, 1)


class Heard(NamedTuple):
    """What one makes of audio: scores (N, ...), 1 for a recording, and the outputs of its layers, scores last."""

    scores: Tensor
    layers: List[Tensor]


class WeightNorm(nn.Module):
    """A weight as a length for each output channel and a direction; a checkpoint is the same for every torch."""

    def forward(self, length: Tensor, direction: Tensor) -> Tensor:
        """The weight."""
        return torch._weight_norm(direction, length, 0)

    def right_inverse(self, weight: Tensor) -> List[Tensor]:
        """Length and direction of a weight."""
        return [torch.norm_except_dim(weight, 2, 0), weight]


def _normed(conv: nn.Module, by_spectrum: bool = False) -> nn.Module:
    if by_spectrum:
        return spectral_norm(conv)
    register_parametrization(conv, "weight", WeightNorm())
    return conv


def _scaled(widths: Sequence[int], width: int) -> List[int]:
    return [max(1, one * width // FULL_WIDTH) for one in widths]


class Discriminator(nn.Module):
    """A row of convolutions, rectified, and a last one that gives scores."""

    def __init__(self, convs: Sequence[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.convs, self.conv_post = nn.ModuleList(convs), last

    def hear(self, x: Tensor) -> Heard:
        """What it makes of x (N, 1, ...)."""
        layers = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)
            layers.append(x)
        x = self.conv_post(x)
        return Heard(x.flatten(1), [*layers, x])


class PeriodDiscriminator(Discriminator):
    """Hears every `period`-th sample beside its neighbours."""

    def __init__(self, period: int, width: int) -> None:
        widths = _scaled(PERIOD_WIDTHS, width)
        pairs = zip([1, *widths], widths, PERIOD_STRIDES)
        convs = [_normed(nn.Conv2d(a, b, (5, 1), (stride, 1), (2, 0))) for a, b, stride in pairs]
        super().__init__(convs, _normed(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0))))
        self.period = period

    def forward(self, audio: Tensor) -> Heard:
        """What it makes of audio (N, S), which is mirrored at its end up to whole rows."""
        missing = -audio.shape[1] % self.period
        rows = F.pad(audio[:, None], (0, missing), "reflect")
        return self.hear(rows.unflatten(2, (-1, self.period)))


class ScaleDiscriminator(Discriminator):
    """Hears audio as it is, or at a half, a quarter ... of its rate."""

    def __init__(self, halvings: int, width: int) -> None:
        widths = _scaled(SCALE_WIDTHS, width)
        # The one that hears all of it is held back most, as published.
        by_spectrum = halvings == 0
        convs = []
        for a, b, kernel, stride, groups in zip([1, *widths], widths, SCALE_KERNELS, SCALE_STRIDES, SCALE_GROUPS):
            groups = math.gcd(groups, math.gcd(a, b))
            convs.append(_normed(nn.Conv1d(a, b, kernel, stride, kernel // 2, groups=groups), by_spectrum))
        super().__init__(convs, _normed(nn.Conv1d(widths[-1], 1, 3, padding=1), by_spectrum))
        self.halvings = halvings

    def forward(self, audio: Tensor) -> Heard:
        """What it makes of audio (N, S)."""
        x = audio[:, None]
        for _ in range(self.halvings):
            x = F.avg_pool1d(x, 4, 2, padding=2)
        return self.hear(x)


class Discriminators(nn.ModuleList):
    """One for each period, and for each of `scales`; `width` is the number of channels of the widest layers."""

    def __init__(self, periods: Sequence[int], scales: int, width: int) -> None:
        by_period = [PeriodDiscriminator(period, width) for period in periods]
        super().__init__([*by_period, *(ScaleDiscriminator(halvings, width) for halvings in range(scales))])

    def forward(self, audio: Tensor) -> List[Heard]:
        """What each makes of audio (N, S)."""
        return [one(audio) for one in self]
