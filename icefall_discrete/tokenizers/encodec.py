"""EnCodec: causal or segmented SEANet and residual VQ, by transformers' EncodecModel.

Défossez et al. 2022, https://arxiv.org/abs/2210.13438. The 24 kHz model codes an utterance whole: T = ceil(S / 320).
The 48 kHz model is stereo (one channel is doubled) and codes segments of 1 s that overlap by 1 %, each divided by its
root mean square: 150 frames every 0.99 s, and the last segment what is left. The divisors are not among the codes.
"""

import dataclasses
import math
from pathlib import Path
from typing import List, Sequence, Tuple, Union, cast

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.codec import Codec
from icefall_discrete.tokenizers.networks.residual_vq import ResidualVq
from icefall_discrete.tokenizers.networks.segment_loop import SegmentLoop, scripted_loop
from icefall_discrete.tokenizers.networks.transformers_codec import (
    TransformersCodecTokenizer,
    TransformersModel,
    load_pretrained,
)


@dataclasses.dataclass(frozen=True)
class EncodecConfig:
    """EnCodec."""

    model: str = setting("facebook/encodec_24khz", "EnCodec model: a folder of transformers, or a hub id.")
    num_codebooks: int = setting(
        8, "Codebooks used (K), 0: all. At 24 kHz, 2, 4, 8, 16, 32 are 1.5, 3, 6, 12, 24 kbps; at 48 kHz half as many."
    )


def overlap_add(pieces: List[Tensor], stride: int) -> Tensor:
    """Join pieces (C, S_i) that start every `stride` samples, faded into each other; weights are triangles."""
    longest = pieces[0].shape[-1]
    triangle = (0.5 - (torch.linspace(0, 1, longest + 2)[1:-1] - 0.5).abs()).to(pieces[0].device)
    total = max(index * stride + piece.shape[-1] for index, piece in enumerate(pieces))
    joined, weight = pieces[0].new_zeros(pieces[0].shape[0], total), pieces[0].new_zeros(total)
    for index, piece in enumerate(pieces):
        inside = slice(index * stride, index * stride + piece.shape[-1])
        joined[:, inside] += piece * triangle[: piece.shape[-1]]
        weight[inside] += triangle[: piece.shape[-1]]
    return joined / weight


def _sizes(*sizes: Union[int, Tensor]) -> Sequence[int]:
    """Numbers that may be tensors, as they are in a trace; torch takes them for numbers."""
    return cast(Sequence[int], sizes)


def _reflected(states: Tensor, paddings: Tuple[Tensor, Tensor], mode: str = "zero", value: float = 0.0) -> Tensor:
    """States (..., T) with reflections before and behind, as transformers does it: behind few states come zeros first.

    Their number is computed, where transformers asks by an `if`, whose answer a trace would keep.
    """
    if mode != "reflect":
        return nn.functional.pad(states, _sizes(*paddings), mode, value)
    before, behind = paddings
    num_states = states.shape[-1]
    missing = (torch.maximum(before, behind) - num_states + 1).clamp(min=0)
    padded = nn.functional.pad(nn.functional.pad(states, _sizes(0, missing)), _sizes(before, behind), mode)
    return padded[..., : before + num_states + behind]


class EncodecSegment(nn.Module):
    """Samples (S,) that are coded as one to codes (T, K).

    Args:
      encoder: that of an EncodecModel. quantizer: its codebooks. num_codebooks: K. channels: what its audio has.
      normalize: whether samples are divided by their root mean square.
    """

    def __init__(
        self, encoder: nn.Module, quantizer: ResidualVq, num_codebooks: int, channels: int, normalize: bool
    ) -> None:
        super().__init__()
        self.encoder, self.quantizer = encoder, quantizer
        self._num_codebooks, self._channels, self._normalize = num_codebooks, channels, normalize

    def forward(self, samples: Tensor) -> Tensor:
        """See the class."""
        if self._normalize:
            samples = samples / (samples.square().mean().sqrt() + 1e-8)
        states = self.encoder(samples.expand(1, self._channels, -1))[0]
        return self.quantizer.encode(states.t(), self._num_codebooks)


class EncodecCodec(Codec):
    """A loaded EncodecModel."""

    def __init__(self, model: TransformersModel) -> None:
        """`model`: an EncodecModel in evaluation mode."""
        config = model.config
        self._encoder, self._decoder = model.encoder, model.decoder
        self._quantizer = ResidualVq([layer.codebook.embed for layer in model.quantizer.layers])
        self._channels, self._normalize = config.audio_channels, config.normalize
        self._segment, self._stride = config.chunk_length, config.chunk_stride
        self.sample_rate_hz = config.sampling_rate
        self.frame_samples = math.prod(config.upsampling_ratios)
        self.frame_rate_hz = self.sample_rate_hz / self.frame_samples
        if self._segment is not None:
            self._segment_frames = -(-self._segment // self.frame_samples)
            self.frame_rate_hz = self._segment_frames * self.sample_rate_hz / self._stride
        self.codebook_sizes = tuple(len(book) for book in self._quantizer.codebooks())
        for convolution in self._encoder.modules():
            if hasattr(convolution, "_pad1d"):
                convolution._pad1d = _reflected
                self.frames_to_trace = 1

    def _network(self, num_codebooks: int) -> nn.Module:
        one = EncodecSegment(self._encoder, self._quantizer, num_codebooks, self._channels, self._normalize)
        return one if self._segment is None else SegmentLoop(one, self._segment, self._stride)

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        return self._network(num_codebooks)(samples)

    def graph(self, num_codebooks: int) -> nn.Module:
        """See Codec."""
        network = self._network(num_codebooks)
        return scripted_loop(network) if isinstance(network, SegmentLoop) else network

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec; of several channels, their mean. Segments that were normalised come back with power 1."""
        pieces = [codes] if self._segment is None else codes.split(self._segment_frames)
        audio = [self._decoder(self._quantizer.decode(piece).t()[None])[0] for piece in pieces]
        joined = audio[0] if self._segment is None else overlap_add(audio, self._stride)
        return joined.mean(dim=0)

    def codebooks(self) -> List[Tensor]:
        """See Codec."""
        return self._quantizer.codebooks()


class EncodecTokenizer(TransformersCodecTokenizer):
    """Codes (T, num_codebooks) of EnCodec."""

    Config = EncodecConfig
    kind = "EnCodec"
    model_type = "encodec"
    normalisation = "that of the model"

    def _load(self, files: List[Path]) -> Codec:
        return EncodecCodec(load_pretrained("EncodecModel", files))
