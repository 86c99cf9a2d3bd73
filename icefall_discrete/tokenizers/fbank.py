"""Log-mel filter banks, continuous: the baseline of every results table (icefall's front end)."""

import dataclasses
from pathlib import Path
from typing import Any, Optional

from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.contract import SpeechTokenizer
from icefall_discrete.tokenizers.frames.kaldi_features import WINDOW_SEC, make_fbank


@dataclasses.dataclass(frozen=True)
class FbankConfig:
    """Log-mel filter banks."""

    num_mel_bins: int = setting(80, "Number of mel filters, the feature dimension.")
    frame_shift_sec: float = setting(0.01, "Hop between frames, in seconds.")


class FbankTokenizer(SpeechTokenizer):
    """Features (T, num_mel_bins), natural log of Kaldi-compatible mel energies, T = round(S / hop)."""

    Config = FbankConfig
    libraries = ("torch", "lhotse")

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; `state_dir` is not used."""
        super().__init__(name, config, state_dir)
        self._extractor = make_fbank(self.sample_rate_hz, config.frame_shift_sec, config.num_mel_bins)

    @property
    def min_samples(self) -> int:
        """One window."""
        return round(WINDOW_SEC * self.sample_rate_hz)

    @property
    def spec(self) -> FeatureSpec:
        """Continuous features at 1 / frame_shift_sec."""
        return FeatureSpec(
            name=self.name,
            kind="continuous",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=round(1 / self.config.frame_shift_sec, 6),
            num_codebooks=0,
            codebook_sizes=(),
            feature_dim=self.config.num_mel_bins,
            provenance={"tokenizer": "fbank", **self._settings(), "normalisation": "none"},
            made_with=self._made_with(),
        )

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._extractor.extract(samples, self.sample_rate_hz)
