"""X-Codec: a codec that quantises a semantic model's states together with its own, by transformers' XcodecModel.

Ye et al. 2024, https://arxiv.org/abs/2408.17175. Audio is filled up with zeros to whole frames of 320 samples, without
which the two branches may differ by a frame: T = ceil(S / 320) at 16 kHz.
"""

import dataclasses
from pathlib import Path
from typing import List

from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.codec import Codec, pad_to_frames
from icefall_discrete.tokenizers.networks.transformers_codec import (
    TransformersCodecTokenizer,
    TransformersModel,
    load_pretrained,
)


@dataclasses.dataclass(frozen=True)
class XcodecConfig:
    """X-Codec."""

    model: str = setting("hf-audio/xcodec-wavlm-more-data", "X-Codec model: a folder of transformers, or a hub id.")
    num_codebooks: int = setting(8, "Codebooks used (K), 0: all (8); each is 0.5 kbps.")


class XcodecCodec(Codec):
    """A loaded XcodecModel."""

    frames_to_trace = 1

    def __init__(self, model: TransformersModel) -> None:
        """`model`: an XcodecModel in evaluation mode."""
        self._model = model
        self.sample_rate_hz = model.config.sample_rate
        self.frame_samples = model.config.hop_length
        self.frame_rate_hz = self.sample_rate_hz / self.frame_samples
        self.codebook_sizes = tuple(len(layer.codebook.embed) for layer in model.quantizer.quantizers)

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        audio = pad_to_frames(samples, self.frame_samples)[None, None]
        # The library knows bit rates only; fewer codebooks are the first ones of all.
        return self._model.encode(audio).audio_codes[0, :num_codebooks].t()

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec."""
        return self._model.decode(codes.t()[None]).audio_values[0, 0]

    def codebooks(self) -> List[Tensor]:
        """See Codec."""
        return [layer.codebook.embed for layer in self._model.quantizer.quantizers]


class XcodecTokenizer(TransformersCodecTokenizer):
    """Codes (T, num_codebooks) of X-Codec."""

    Config = XcodecConfig
    kind = "X-Codec"
    model_type = "xcodec"

    def _load(self, files: List[Path]) -> Codec:
        return XcodecCodec(load_pretrained("XcodecModel", files))
