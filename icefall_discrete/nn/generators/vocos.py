"""Vocos: ConvNeXt blocks at the rate of the frames, then an inverse Fourier transform.

Siuzdak 2023, https://arxiv.org/abs/2306.00814. Submodules have the names of the published state dicts. A frame that is
longer than `largest_hop_sec` is repeated, so that spectra are no further apart than speech lets them be.
"""

import dataclasses
import math

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.generators.contract import Generator, GeneratorConfig
from icefall_discrete.nn.inverse_stft import inverse_stft
from icefall_discrete.nn.vocos_block import KERNEL, NORM_EPS, REACH, VocosBlock

MAX_MAGNITUDE = 100.0
WINDOWS_PER_HOP = 4
_INITIAL_DEVIATION = 0.02


@dataclasses.dataclass(frozen=True)
class VocosConfig(GeneratorConfig):
    """Vocos; the defaults are a small one, for one processor core."""

    vocos_dim: int = setting(256, "channels of the backbone", minimum=1)
    vocos_hidden_dim: int = setting(768, "inner width of its blocks", minimum=1)
    vocos_num_layers: int = setting(6, "number of its blocks", minimum=1)
    largest_hop: int = setting(480, "most samples between two spectra; longer frames are repeated", minimum=2)
    fft_size: int = setting(0, f"samples of a window; 0: {WINDOWS_PER_HOP} times those between two", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)

    def build(self, in_dim: int, frame_samples: int) -> "Vocos":
        """See GeneratorConfig."""
        repeats = math.ceil(frame_samples / self.largest_hop)
        while frame_samples % repeats:
            repeats += 1
        hop = frame_samples // repeats
        size = self.fft_size or WINDOWS_PER_HOP * hop
        if size < hop or size % 2:
            raise ValueError(
                f"fft_size is {size}, expected an even number of at least the {hop} samples between two spectra "
                f"(frames of {frame_samples} samples); set another, or 0."
            )
        return Vocos(self, in_dim, hop, repeats, size)


class Backbone(nn.Module):
    """Vectors (N, C, T) to states (N, T, dim)."""

    def __init__(self, config: VocosConfig, in_dim: int) -> None:
        super().__init__()
        dim, num_layers = config.vocos_dim, config.vocos_num_layers
        self.embed = nn.Conv1d(in_dim, dim, KERNEL, padding=REACH)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.convnext = nn.ModuleList(
            VocosBlock(nn.LayerNorm(dim, eps=NORM_EPS), dim, config.vocos_hidden_dim, 1.0 / num_layers)
            for _ in range(num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        states = self.norm(self.embed(x).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            states = block(states)
        return self.final_layer_norm(states.transpose(1, 2))


class Head(nn.Module):
    """States (N, T, dim) to audio (N, T hop): `out` gives log magnitudes and phases of windows."""

    window: Tensor

    def __init__(self, dim: int, hop: int, fft_size: int) -> None:
        super().__init__()
        self.hop = hop
        self.out = nn.Linear(dim, fft_size + 2)
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        log_magnitude, phase = self.out(states).transpose(1, 2).float().chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=MAX_MAGNITUDE)
        return inverse_stft(torch.complex(magnitude * phase.cos(), magnitude * phase.sin()), self.window, self.hop)


class Vocos(Generator):
    """See the module.

    Args:
      in_dim: C. hop: samples between two spectra. repeats: of each frame. fft_size: samples of a window.
    """

    def __init__(self, config: VocosConfig, in_dim: int, hop: int, repeats: int, fft_size: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.backbone = Backbone(config, in_dim)
        self.head = Head(config.vocos_dim, hop, fft_size)
        spectra = REACH * (1 + config.vocos_num_layers) + math.ceil(fft_size / hop)
        self.reach = math.ceil(spectra / repeats)
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=_INITIAL_DEVIATION)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """See Generator."""
        x = x if self.repeats == 1 else x.repeat_interleave(self.repeats, dim=2)
        return self.head(self.backbone(x))
