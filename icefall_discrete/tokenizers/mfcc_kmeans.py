"""k-means on MFCC with derivatives: the teacher of HuBERT's first iteration.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447: 39 dimensions (13 MFCC, first and second derivatives). HuBERT takes
them every 10 ms; the default here is 20 ms, the rate of the other k-means tokens.
"""

import dataclasses

from lhotse.features.base import FeatureExtractor
from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames.kaldi_features import make_mfcc, with_deltas
from icefall_discrete.tokenizers.frames.spectral_kmeans import SpectralKmeansTokenizer
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig


@dataclasses.dataclass(frozen=True)
class MfccKmeansConfig(KmeansConfig):
    """k-means on MFCC with first and second derivatives."""

    num_ceps: int = setting(13, "Number of cepstral coefficients; a frame holds three times as many values.")
    frame_shift_sec: float = setting(0.02, "Hop between frames, in seconds.")


class MfccKmeansTokenizer(SpectralKmeansTokenizer):
    """One code a frame of 3 x num_ceps values, T = round(S / hop)."""

    Config = MfccKmeansConfig

    def _make_extractor(self) -> FeatureExtractor:
        return make_mfcc(self.sample_rate_hz, self.config.frame_shift_sec, self.config.num_ceps)

    def frames(self, samples: Tensor) -> Tensor:
        """MFCC, first and second derivatives (T, 3 num_ceps)."""
        return with_deltas(self._extractor.extract(samples, self.sample_rate_hz))
