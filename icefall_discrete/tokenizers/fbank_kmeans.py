"""k-means on log-mel filter banks: tokens of the raw spectrum, the plainest of all."""

import dataclasses
from pathlib import Path
from typing import Any, Optional

from torch import Tensor

from icefall_discrete.config import setting
from icefall_discrete.tokenizers.kaldi_features import WINDOW_SEC, make_fbank
from icefall_discrete.tokenizers.kmeans import KmeansConfig, KmeansTokenizer


@dataclasses.dataclass(frozen=True)
class FbankKmeansConfig(KmeansConfig):
    """k-means on log-mel filter banks."""

    num_mel_bins: int = setting(80, "Number of mel filters.")
    frame_shift_sec: float = setting(0.02, "Hop between frames, in seconds: 0.02 gives 50 Hz, 0.01 gives 100 Hz.")


class FbankKmeansTokenizer(KmeansTokenizer):
    """One code a frame of num_mel_bins values, T = round(S / hop)."""

    Config = FbankKmeansConfig
    libraries = (*KmeansTokenizer.libraries, "lhotse")

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See KmeansTokenizer."""
        super().__init__(name, config, state_dir)
        self._extractor = make_fbank(self.sample_rate_hz, config.frame_shift_sec, config.num_mel_bins)

    @property
    def min_samples(self) -> int:
        """One window."""
        return round(WINDOW_SEC * self.sample_rate_hz)

    @property
    def frame_rate_hz(self) -> float:
        """1 / frame_shift_sec."""
        return round(1 / self.config.frame_shift_sec, 6)

    def frames(self, samples: Tensor) -> Tensor:
        """Log-mel filter banks (T, num_mel_bins)."""
        return self._extractor.extract(samples, self.sample_rate_hz)
