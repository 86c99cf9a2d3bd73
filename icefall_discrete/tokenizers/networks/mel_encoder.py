"""A small transformer over log-mel frames, with HuBERT's convolutional positions and mask, and its file of weights.

The body of HuBERT (Hsu et al. 2021, https://arxiv.org/abs/2106.07447) on mel input instead of waveform convolutions
(MelHuBERT, Lin et al. 2022, https://arxiv.org/abs/2211.09944), with the norms before the layers. Letters: N utterances,
S samples, T frames (50 Hz), M mel bins, D dimensions of the states.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.audio.kaldi_features import make_fbank
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors

SAMPLE_RATE_HZ = 16000
MEL_SHIFT_SEC = 0.01
STACKED = 2  # mel frames in a frame of the encoder
FRAME_SAMPLES = 320
FRAME_RATE_HZ = SAMPLE_RATE_HZ / FRAME_SAMPLES
METADATA_KEY = "mel_encoder"


@dataclasses.dataclass(frozen=True)
class MelEncoderConfig:
    """A transformer over log-mel frames."""

    num_mel_bins: int = setting(40, "Number of mel filters; two frames of 10 ms are one input frame.")
    num_layers: int = setting(4, "Transformer layers.")
    dim: int = setting(256, "Dimension D of the layers.")
    num_heads: int = setting(4, "Attention heads.")
    ffn_dim: int = setting(1024, "Inner dimension of the feed-forward part of a layer.")
    position_kernel: int = setting(31, "Frames that the convolution which tells the position looks at, an odd number.")
    position_groups: int = setting(16, "Groups of that convolution.")
    layer: int = setting(3, "Layer whose output is clustered, from 1.")
    max_chunk_sec: float = setting(15.6, "Longest audio (s) the encoder sees at once; longer audio is cut into pieces.")

    def __post_init__(self) -> None:
        """Raise ValueError for a shape that cannot be built."""
        if not 1 <= self.layer <= self.num_layers:
            raise ValueError(f"layer is {self.layer}, expected 1 to num_layers, {self.num_layers}.")
        for name in ("num_heads", "position_groups"):
            if getattr(self, name) < 1 or self.dim % getattr(self, name):
                raise ValueError(f"dim is {self.dim}, expected a multiple of {name}, {getattr(self, name)}.")
        if self.position_kernel % 2 == 0:
            raise ValueError(f"position_kernel is {self.position_kernel}, expected an odd number.")
        if self.max_chunk_sec < 1.0:
            raise ValueError(f"max_chunk_sec is {self.max_chunk_sec}, expected at least 1 s.")

    @property
    def max_frames(self) -> int:
        """Frames of `max_chunk_sec`."""
        return int(self.max_chunk_sec * FRAME_RATE_HZ)


class StackedMel:
    """Log-mel frames of 10 ms, two of them side by side in a frame of 20 ms."""

    def __init__(self, num_mel_bins: int) -> None:
        self._extractor = make_fbank(SAMPLE_RATE_HZ, MEL_SHIFT_SEC, num_mel_bins)

    def __call__(self, samples: Tensor) -> Tensor:
        """Frames (T, 2 M) of samples (S,), T = round(S / 320), a half rounded up.

        Frame t holds the windows centred at 20 t + 5 and 20 t + 15 ms, so that it lies on frame t of 20 ms. At the end
        one window may be too many, or one too few: the last is then there twice.
        """
        mel = self._extractor.extract(samples, SAMPLE_RATE_HZ)
        num_frames = (STACKED * len(samples) + FRAME_SAMPLES) // (STACKED * FRAME_SAMPLES)
        if len(mel) < STACKED * num_frames:
            mel = torch.cat([mel, mel[-1:]])
        return mel[: STACKED * num_frames].reshape(num_frames, -1)


class MelEncoder(nn.Module):
    """Stacked log-mel frames (N, T, 2 M) -> states (N, T, D)."""

    mel_mean: Tensor
    mel_scale: Tensor

    def __init__(self, config: MelEncoderConfig, dropout: float = 0.0) -> None:
        """Random weights; `dropout` is that of training."""
        super().__init__()
        self.config = config
        self.dropout = dropout
        dim, kernel = config.dim, config.position_kernel
        self.register_buffer("mel_mean", torch.zeros(STACKED * config.num_mel_bins))
        self.register_buffer("mel_scale", torch.ones(STACKED * config.num_mel_bins))
        self.project = nn.Linear(STACKED * config.num_mel_bins, dim)
        self.mask_vector = nn.Parameter(torch.empty(dim).uniform_())
        self.position = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=config.position_groups)
        nn.init.normal_(self.position.weight, std=math.sqrt(4.0 / (kernel * dim)))
        if self.position.bias is not None:
            nn.init.zeros_(self.position.bias)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, config.num_heads, config.ffn_dim, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.num_layers)
        )

    def forward(self, frames: Tensor, padding: Optional[Tensor], masked: Optional[Tensor], num_layers: int) -> Tensor:
        """Run the first `num_layers` layers.

        Args:
          frames: (N, T, 2 M) stacked log-mel, not normalised. padding: (N, T), true behind the ends; None: no padding.
          masked: (N, T), true where the mask vector replaces the input; None: nowhere.
        Returns:
          (N, T, D); values behind the ends mean nothing.
        """
        x = self.project((frames - self.mel_mean) / self.mel_scale)
        if masked is not None:
            x = torch.where(masked.unsqueeze(2), self.mask_vector, x)
        if padding is not None:
            x = x.masked_fill(padding.unsqueeze(2), 0.0)  # what the convolution sees behind an end, batch or not
        # Contiguous first: torch 1.13 returns uninitialised memory as the gradient of a transposed gelu.
        x = x + F.gelu(self.position(x.transpose(1, 2)).transpose(1, 2).contiguous())
        x = F.dropout(x, self.dropout, self.training)
        for layer in self.layers[:num_layers]:
            x = layer(x, src_key_padding_mask=padding)
        return x

    @torch.no_grad()
    def states(self, frames: Tensor) -> Tensor:
        """States (T, D) of layer `layer` for one utterance (T, 2 M), in equal pieces if it is long; dropout is off."""
        self.eval()
        num_pieces = -(-len(frames) // self.config.max_frames)
        pieces = frames.split(-(-len(frames) // num_pieces))
        return torch.cat([self(piece[None], None, None, self.config.layer)[0] for piece in pieces])


def save_encoder(path: Path, encoder: MelEncoder, metadata: Dict[str, Any]) -> None:
    """Write the weights and `metadata` (JSON) to `path`, safetensors, atomically; same weights, same bytes."""
    write_tensors(path, encoder.state_dict(), {METADATA_KEY: as_text(metadata)})


def load_encoder(path: Path, config: MelEncoderConfig) -> MelEncoder:
    """The encoder in `path`, in evaluation mode on the CPU. Raises ValueError if it is damaged or of another shape."""
    encoder = MelEncoder(config)
    weights = read_tensors(path, "move it aside and rerun stage 2").tensors
    try:
        encoder.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(
            f"{path} holds an encoder of another shape than the settings say; restore num_mel_bins, num_layers, dim, "
            "ffn_dim, position_kernel and position_groups, or move it aside and rerun stage 2."
        ) from None
    return encoder.eval().requires_grad_(False)
