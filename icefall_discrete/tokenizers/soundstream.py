"""SoundStream-style codecs: SEANet, with or without LSTM, and residual VQ, from one file of weights.

Zeghidour et al. 2021, https://arxiv.org/abs/2107.03312. Google published no weights; this reads those of
github yangdongchao/AcademiCodec (SoundStream and EnCodec at 16 and 24 kHz, not causal), EnCodec's own 24 kHz file
(causal), and any model in the same names. T = ceil(S / F), F the product of the strides.
"""

import dataclasses

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.seanet_codec import SeanetTokenizer


@dataclasses.dataclass(frozen=True)
class SoundstreamConfig:
    """SoundStream-style codec."""

    model: str = setting(
        "Dongchao/AcademiCodec/encodec_16k_320d.pth",
        "Weights of the codec: a file, or ORG/NAME/PATH of a file on the hub.",
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all.")
    codec_rate_hz: int = setting(16000, "Sample rate of the codec, in Hz; the weights do not tell.", above=0)
    causal: bool = setting(False, "Whether its convolutions are causal; the weights do not tell.")


class SoundstreamTokenizer(SeanetTokenizer):
    """Codes (T, num_codebooks) of a SEANet codec."""

    Config = SoundstreamConfig
    kind = "SoundStream"

    @property
    def _rate_hz(self) -> int:
        return self.config.codec_rate_hz

    @property
    def _causal(self) -> bool:
        return self.config.causal
