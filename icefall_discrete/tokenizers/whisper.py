"""Encoder states of a pretrained Whisper, continuous: what k-means on them could reach at best."""

import dataclasses
from pathlib import Path
from typing import Any, Optional

from torch import Tensor

from icefall_discrete.spec import FeatureSpec
from icefall_discrete.tokenizers.base import SpeechTokenizer, library_versions
from icefall_discrete.tokenizers.whisper_encoder import FFT_SIZE, STATE_RATE_HZ, WhisperSettings, WhisperStates


@dataclasses.dataclass(frozen=True)
class WhisperConfig(WhisperSettings):
    """Whisper encoder states."""


class WhisperTokenizer(SpeechTokenizer):
    """States (T, D), T = ceil(S / 320), 50 Hz."""

    Config = WhisperConfig
    runtime_settings = ("num_threads",)

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; the model is read when it is first needed, `state_dir` is not used."""
        super().__init__(name, config, state_dir)
        self._states = WhisperStates(config)

    @property
    def min_samples(self) -> int:
        """One window."""
        return FFT_SIZE

    @property
    def spec(self) -> FeatureSpec:
        """Continuous states at 50 Hz; loads the model, for its dimension and hash."""
        return FeatureSpec(
            name=self.name,
            kind="continuous",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=STATE_RATE_HZ,
            num_codebooks=0,
            codebook_sizes=(),
            feature_dim=self._states.dim,
            provenance={"tokenizer": "whisper", **self._settings(), **self._states.provenance},
            made_with={**self._made_with(), **library_versions(self._states.library)},
        )

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._states(samples)
