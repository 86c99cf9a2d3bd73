"""k-means on MFCC with derivatives: the teacher of HuBERT's first iteration.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447: 39 dimensions (13 MFCC, first and second derivatives). HuBERT takes
them every 10 ms; the default here is 20 ms, the rate of the other k-means tokens.
"""

import dataclasses
from pathlib import Path
from typing import Any, Optional

from torch import Tensor

from icefall_discrete.config import setting
from icefall_discrete.tokenizers.kaldi_features import WINDOW_SEC, make_mfcc, with_deltas
from icefall_discrete.tokenizers.kmeans import KmeansConfig, KmeansTokenizer


@dataclasses.dataclass(frozen=True)
class MfccKmeansConfig(KmeansConfig):
    """k-means on MFCC with first and second derivatives."""

    num_ceps: int = setting(13, "Number of cepstral coefficients; a frame holds three times as many values.")
    frame_shift_sec: float = setting(0.02, "Hop between frames, in seconds.")


class MfccKmeansTokenizer(KmeansTokenizer):
    """One code a frame of 3 x num_ceps values, T = round(S / hop)."""

    Config = MfccKmeansConfig
    libraries = (*KmeansTokenizer.libraries, "lhotse")

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See KmeansTokenizer."""
        super().__init__(name, config, state_dir)
        self._extractor = make_mfcc(self.sample_rate_hz, config.frame_shift_sec, config.num_ceps)

    @property
    def min_samples(self) -> int:
        """One window."""
        return round(WINDOW_SEC * self.sample_rate_hz)

    @property
    def frame_rate_hz(self) -> float:
        """1 / frame_shift_sec."""
        return round(1 / self.config.frame_shift_sec, 6)

    def frames(self, samples: Tensor) -> Tensor:
        """MFCC, first and second derivatives (T, 3 num_ceps)."""
        return with_deltas(self._extractor.extract(samples, self.sample_rate_hz))
