"""EnCodec: causal or segmented SEANet and residual VQ, by transformers' EncodecModel.

Défossez et al. 2022, https://arxiv.org/abs/2210.13438. The 24 kHz model codes an utterance whole: T = ceil(S / 320).
The 48 kHz model is stereo (one channel is doubled) and codes segments of 1 s that overlap by 1 %, each divided by its
root mean square: 150 frames every 0.99 s, and the last segment what is left. The divisors are not among the codes.
"""

import dataclasses
import math
from pathlib import Path
from typing import List

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.codec import Codec
from icefall_discrete.tokenizers.networks.residual_vq import ResidualVq
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
        if self._segment is None:
            # Shorter audio is not reflected at its edges, but filled up with zeros, which a trace does not see.
            plain = [one for one in self._encoder.modules() if isinstance(one, nn.Conv1d) and one.stride == (1,)]
            self.frames_to_trace = 1 + max((one.kernel_size[0] - 1) * one.dilation[0] for one in plain)
        else:
            self._segment_frames = -(-self._segment // self.frame_samples)
            self.frame_rate_hz = self._segment_frames * self.sample_rate_hz / self._stride
        self.codebook_sizes = tuple(len(book) for book in self._quantizer.codebooks())

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        if self._segment is None:
            return self._encode_segment(samples, num_codebooks)
        starts = range(0, len(samples), self._stride)
        pieces = [self._encode_segment(samples[start : start + self._segment], num_codebooks) for start in starts]
        return torch.cat(pieces)

    def _encode_segment(self, samples: Tensor, num_codebooks: int) -> Tensor:
        if self._normalize:
            samples = samples / (samples.square().mean().sqrt() + 1e-8)
        states = self._encoder(samples.expand(1, self._channels, -1))[0]
        return self._quantizer.encode(states.t(), num_codebooks)

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
