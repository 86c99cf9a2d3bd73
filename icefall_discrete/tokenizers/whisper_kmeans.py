"""k-means on the encoder states of a pretrained Whisper: tokens that know speech, without labels of the corpus."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional

from torch import Tensor

from icefall_discrete.tokenizers.base import library_versions
from icefall_discrete.tokenizers.kmeans import KmeansConfig, KmeansTokenizer
from icefall_discrete.tokenizers.whisper_encoder import FFT_SIZE, STATE_RATE_HZ, WhisperSettings, WhisperStates


@dataclasses.dataclass(frozen=True)
class WhisperKmeansConfig(WhisperSettings, KmeansConfig):
    """k-means on Whisper encoder states."""


class WhisperKmeansTokenizer(KmeansTokenizer):
    """One code a state, T = ceil(S / 320), 50 Hz."""

    Config = WhisperKmeansConfig
    runtime_settings = ("num_threads",)

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See KmeansTokenizer; the model is read when it is first needed."""
        super().__init__(name, config, state_dir)
        self._states = WhisperStates(config)

    @property
    def min_samples(self) -> int:
        """One window."""
        return FFT_SIZE

    @property
    def frame_rate_hz(self) -> float:
        """Whisper's rate."""
        return STATE_RATE_HZ

    def frames(self, samples: Tensor) -> Tensor:
        """Encoder states (T, D)."""
        return self._states(samples)

    def _settings(self) -> Dict[str, Any]:
        return {**super()._settings(), **self._states.provenance}

    def _made_with(self) -> Dict[str, str]:
        return {**super()._made_with(), **library_versions(self._states.library)}
