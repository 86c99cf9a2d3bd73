"""What k-means tokenizers on Kaldi-compatible spectral frames share: the window, the frame rate, the extractor."""

import abc
from pathlib import Path
from typing import Any, Optional

from lhotse.features.base import FeatureExtractor

from icefall_discrete.tokenizers.frames.kaldi_features import WINDOW_SEC
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansTokenizer


class SpectralKmeansTokenizer(KmeansTokenizer):
    """One code a frame, T = round(S / hop); its config has `frame_shift_sec`."""

    libraries = (*KmeansTokenizer.libraries, "lhotse")

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See KmeansTokenizer."""
        super().__init__(name, config, state_dir)
        self._extractor = self._make_extractor()

    @abc.abstractmethod
    def _make_extractor(self) -> FeatureExtractor:
        """The extractor of the spectral frames, at the settings of the config."""

    @property
    def min_samples(self) -> int:
        """One window."""
        return round(WINDOW_SEC * self.sample_rate_hz)

    @property
    def frame_rate_hz(self) -> float:
        """1 / frame_shift_sec."""
        return round(1 / self.config.frame_shift_sec, 6)
