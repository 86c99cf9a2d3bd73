"""DAC, the Descript audio codec: residual VQ with factorised, normalised codes, by transformers' DacModel.

Kumar et al. 2023, https://arxiv.org/abs/2306.06546. Audio is filled up with zeros to whole frames, as by the authors:
T = ceil(S / F), F = 320 at 16 and 24 kHz, 512 at 44.1 kHz.
"""

import dataclasses
import math
from pathlib import Path
from typing import List

from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.codec import Codec, pad_to_frames
from icefall_discrete.tokenizers.networks.transformers_codec import (
    TransformersCodecTokenizer,
    TransformersModel,
    load_pretrained,
)


@dataclasses.dataclass(frozen=True)
class DacConfig:
    """DAC."""

    model: str = setting("descript/dac_16khz", "DAC model: a folder of transformers, or a hub id.")
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all (12 at 16 kHz, 32 at 24 kHz, 9 at 44.1 kHz).")


class DacCodec(Codec):
    """A loaded DacModel."""

    frames_to_trace = 1

    def __init__(self, model: TransformersModel) -> None:
        """`model`: a DacModel in evaluation mode."""
        self._model = model
        self.sample_rate_hz = model.config.sampling_rate
        self.frame_samples = math.prod(model.config.downsampling_ratios)
        self.frame_rate_hz = self.sample_rate_hz / self.frame_samples
        self.codebook_sizes = tuple(len(layer.codebook.weight) for layer in model.quantizer.quantizers)

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        audio = pad_to_frames(samples, self.frame_samples)[None, None]
        return self._model.encode(audio, n_quantizers=num_codebooks).audio_codes[0].t()

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec; strides that are odd lose a few samples at the end."""
        return self._model.decode(audio_codes=codes.t()[None]).audio_values[0]

    def codebooks(self) -> List[Tensor]:
        """See Codec; entries are compared by their direction, so their length is made 1."""
        books = [layer.codebook.weight for layer in self._model.quantizer.quantizers]
        return [nn.functional.normalize(book) for book in books]


class DacTokenizer(TransformersCodecTokenizer):
    """Codes (T, num_codebooks) of DAC."""

    Config = DacConfig
    kind = "DAC"
    model_type = "dac"

    def _load(self, files: List[Path]) -> Codec:
        return DacCodec(load_pretrained("DacModel", files))
