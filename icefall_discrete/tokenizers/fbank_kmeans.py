"""k-means on log-mel filter banks: tokens of the raw spectrum, the plainest of all."""

import dataclasses

from lhotse.features.base import FeatureExtractor
from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames.kaldi_features import make_fbank
from icefall_discrete.tokenizers.frames.spectral_kmeans import SpectralKmeansTokenizer
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig


@dataclasses.dataclass(frozen=True)
class FbankKmeansConfig(KmeansConfig):
    """k-means on log-mel filter banks."""

    num_mel_bins: int = setting(80, "Number of mel filters.")
    frame_shift_sec: float = setting(0.02, "Hop between frames, in seconds: 0.02 gives 50 Hz, 0.01 gives 100 Hz.")


class FbankKmeansTokenizer(SpectralKmeansTokenizer):
    """One code a frame of num_mel_bins values, T = round(S / hop)."""

    Config = FbankKmeansConfig

    def _make_extractor(self) -> FeatureExtractor:
        return make_fbank(self.sample_rate_hz, self.config.frame_shift_sec, self.config.num_mel_bins)

    def frames(self, samples: Tensor) -> Tensor:
        """Log-mel filter banks (T, num_mel_bins)."""
        return self._extractor.extract(samples, self.sample_rate_hz)
