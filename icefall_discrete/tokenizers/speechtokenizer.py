"""SpeechTokenizer: residual VQ whose first codebook is taught by HuBERT; 16 kHz, 50 Hz, 8 x 1024.

Zhang et al. 2023, https://arxiv.org/abs/2308.16692; weights of github ZhangXInFD/SpeechTokenizer (encoder with a
bidirectional LSTM; ELU, or Snake in AnyGPT's). T = ceil(S / 320).
"""

import dataclasses

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.seanet_codec import SeanetTokenizer


@dataclasses.dataclass(frozen=True)
class SpeechtokenizerConfig:
    """SpeechTokenizer."""

    model: str = setting(
        "fnlp/SpeechTokenizer/speechtokenizer_hubert_avg/SpeechTokenizer.pt",
        "SpeechTokenizer weights: a file, or ORG/NAME/PATH of a file on the hub.",
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all (8); 1: the one that HuBERT taught.")


class SpeechtokenizerTokenizer(SeanetTokenizer):
    """Codes (T, num_codebooks) of SpeechTokenizer."""

    Config = SpeechtokenizerConfig
    kind = "SpeechTokenizer"

    @property
    def _rate_hz(self) -> int:
        return 16000

    @property
    def _unused(self) -> str:
        # The projection onto HuBERT's states, for the distillation loss.
        return r"transform\..*"
