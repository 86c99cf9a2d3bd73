"""WavTokenizer: SEANet and one codebook of 4096, decoded by Vocos with attention; 24 kHz, 40 or 75 Hz.

Ji et al. 2024, https://arxiv.org/abs/2408.16532; weights of github jishengpeng/WavTokenizer (small, medium, large),
checkpoints of PyTorch Lightning with or without the training's discriminators. T = ceil(S / F), F = 600 or 320.
"""

import dataclasses
from pathlib import Path
from typing import Callable, List

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.formats.pretrained import Weights, read_weights
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer
from icefall_discrete.tokenizers.networks.residual_vq import ResidualVq, residual_vq_from
from icefall_discrete.tokenizers.networks.seanet import seanet_from
from icefall_discrete.tokenizers.networks.seanet_codec import STATE_DICT_KEYS, SeanetCodec
from icefall_discrete.tokenizers.networks.vocos import Vocos

_SAMPLE_RATE_HZ = 24000
# The EnCodec decoder that the checkpoints still carry, discriminators, and the modules of losses.
_UNUSED = (
    r"feature_extractor\.encodec\.decoder\..*",
    r"(?!feature_extractor\.|backbone\.|head\.).*",
)


@dataclasses.dataclass(frozen=True)
class WavtokenizerConfig:
    """WavTokenizer."""

    model: str = setting(
        "novateur/WavTokenizer/WavTokenizer_small_600_24k_4096.ckpt",
        "WavTokenizer weights: a file, or ORG/NAME/PATH of a file on the hub.",
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all (1).")


class WavtokenizerTokenizer(CodecTokenizer):
    """Codes (T, 1) of WavTokenizer."""

    Config = WavtokenizerConfig
    kind = "WavTokenizer"

    def _load(self, files: List[Path]) -> Codec:
        return load_codec(files[0])


def load_codec(file: Path, quantizer_of: Callable[[ResidualVq], ResidualVq] = lambda plain: plain) -> Codec:
    """The codec of a checkpoint; quantizer_of: what quantizes by the codebooks that are read."""
    weights = Weights(read_weights(file, STATE_DICT_KEYS), str(file))
    for pattern in _UNUSED:
        weights.drop(pattern)
    encoder = seanet_from(weights.part("feature_extractor.encodec.encoder."), causal=False)
    quantizer = quantizer_of(residual_vq_from(weights.part("feature_extractor.encodec.quantizer.")))
    decoder = Vocos(weights, encoder.stride).eval()
    weights.require_empty()
    return SeanetCodec(encoder, quantizer, decoder, _SAMPLE_RATE_HZ)
