"""HiFi-GAN's generator: transposed convolutions up to the rate of the audio, each with a row of residual blocks.

Kong et al. 2020, https://arxiv.org/abs/2010.05646; the defaults are those of its unit version, Polyak et al. 2021,
https://arxiv.org/abs/2104.00355: 320 samples a frame. Submodules have the names of the published state dicts, whose
weight normalisation is multiplied out (systems/vocoder/published_names.py).
"""

import dataclasses
import math
from typing import List, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.generators.contract import Generator, GeneratorConfig

EDGE_KERNEL = 7
SLOPE = 0.1
LAST_SLOPE = 0.01
_INITIAL_DEVIATION = 0.01


@dataclasses.dataclass(frozen=True)
class HifiganConfig(GeneratorConfig):
    """HiFi-GAN; the defaults are those for units."""

    hifigan_channels: int = setting(
        512, "channels before the first transposed convolution; each halves them", minimum=2
    )
    upsample_rates: Tuple[int, ...] = setting((5, 4, 4, 2, 2), "their strides; the product is a frame", minimum=1)
    upsample_kernels: Tuple[int, ...] = setting((11, 8, 8, 4, 4), "their kernels", minimum=1)
    resblock_kernels: Tuple[int, ...] = setting((3, 7, 11), "kernels of the residual blocks behind each", minimum=1)
    resblock_dilations: Tuple[int, ...] = setting((1, 3, 5), "dilations within each residual block", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        pairs = list(zip(self.upsample_rates, self.upsample_kernels))
        short = [(rate, kernel) for rate, kernel in pairs if kernel < rate]
        if len(self.upsample_rates) != len(self.upsample_kernels) or short or not pairs:
            raise ValueError(
                f"upsample_rates is {list(self.upsample_rates)} and upsample_kernels {list(self.upsample_kernels)}, "
                "expected a kernel for each rate, and none that is shorter than it."
            )
        if any(kernel % 2 == 0 for kernel in self.resblock_kernels):
            raise ValueError(f"resblock_kernels is {list(self.resblock_kernels)}, expected odd numbers.")
        if self.hifigan_channels % 2 ** len(pairs):
            raise ValueError(
                f"hifigan_channels is {self.hifigan_channels}, which cannot be halved {len(pairs)} times, once for "
                "each of upsample_rates."
            )

    def build(self, in_dim: int, frame_samples: int) -> "Hifigan":
        """See GeneratorConfig."""
        self.require_rates(frame_samples)
        return Hifigan(self, in_dim)

    def require_rates(self, frame_samples: int) -> None:
        """Raise ValueError if the strides do not make so many samples of a frame."""
        made = math.prod(self.upsample_rates)
        if made != frame_samples:
            raise ValueError(
                f"upsample_rates {', '.join(map(str, self.upsample_rates))} make {made} samples of a frame, but these "
                f"codes have a frame every {frame_samples} samples; set rates whose product that is."
            )


def _upsampling(channels: int, rate: int, kernel: int) -> nn.ConvTranspose1d:
    """From C channels at T places to half of them at T `rate` places."""
    beyond = kernel - rate
    # A kernel that is longer by an odd number takes one place more away than it adds, which is added again behind.
    padding, added = (beyond + 1) // 2, beyond % 2
    return nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=padding, output_padding=added)


class ResidualBlock(nn.Module):
    """For each dilation: rectifier, dilated convolution, rectifier, convolution, added to the input (N, C, T)."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(channels, channels, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.reach = sum((dilation + 1) * (kernel - 1) // 2 for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for first, second in zip(self.convs1, self.convs2):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Hifigan(Generator):
    """See the module.

    Args:
      in_dim: C.
    """

    def __init__(self, config: HifiganConfig, in_dim: int) -> None:
        super().__init__()
        self.num_kernels = len(config.resblock_kernels)
        channels = config.hifigan_channels
        self.conv_pre = nn.Conv1d(in_dim, channels, EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        ups: List[nn.Module] = []
        blocks: List[ResidualBlock] = []
        samples, reach = math.prod(config.upsample_rates), float(EDGE_KERNEL // 2)
        # From the samples to the frames: what a block reaches is counted at its own rate.
        reach += EDGE_KERNEL // 2 / samples
        made = 1
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernels):
            ups.append(_upsampling(channels, rate, kernel))
            channels //= 2
            reach += math.ceil(kernel / rate) / made
            made *= rate
            row = [ResidualBlock(channels, size, config.resblock_dilations) for size in config.resblock_kernels]
            reach += max(block.reach for block in row) / made
            blocks += row
        self.ups, self.resblocks = nn.ModuleList(ups), nn.ModuleList(blocks)
        self.conv_post = nn.Conv1d(channels, 1, EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        self.reach = math.ceil(reach)
        for module in [*self.ups.modules(), *self.resblocks.modules(), self.conv_post]:
            if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
                nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        """See Generator."""
        x = self.conv_pre(x)
        for index, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            row = self.resblocks[index * self.num_kernels : (index + 1) * self.num_kernels]
            x = sum((block(x) for block in row[1:]), row[0](x)) / self.num_kernels
        return self.conv_post(F.leaky_relu(x, LAST_SLOPE)).tanh()[:, 0]
