"""dMel: the log-mel spectrogram itself, each channel rounded to a few levels. No model, no training.

Bai et al. 2024, https://arxiv.org/abs/2407.15835. The numbers are those of the authors' code (github apple/dmel):
levels over a fixed range of log10 mel magnitude, not the range of the corpus. No frames for start and end are added.
"""

import dataclasses
from pathlib import Path
from typing import Any, List, Optional

import torch
from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.contract import SpeechTokenizer

FLOOR = 1e-10


@dataclasses.dataclass(frozen=True)
class DmelConfig:
    """dMel: quantised log-mel spectrogram."""

    num_mel_bins: int = setting(80, "Number of mel channels, each a codebook (K).", minimum=3)
    num_levels: int = setting(16, "Levels of each channel, the codebook size V.", minimum=2)
    frame_shift_sec: float = setting(0.025, "Hop between frames, in seconds.", minimum=0.001, maximum=1)
    window_sec: float = setting(0.05, "Length of the Hann window, in seconds.", minimum=0.001, maximum=1)
    fft_size: int = setting(1024, "Points of the Fourier transform; the window is centred in them.", minimum=2)
    low_hz: float = setting(80.0, "Lower edge of the first mel filter, in Hz.", minimum=0)
    high_hz: float = setting(7600.0, "Upper edge of the last mel filter, in Hz.", above=0)
    min_value: float = setting(-7.0, "Lowest level, in log10 of the mel magnitude.")
    max_value: float = setting(2.0, "Highest level, in log10 of the mel magnitude (up to the rounding of the step).")


class DmelTokenizer(SpeechTokenizer):
    """Codes (T, num_mel_bins): the nearest level of each mel channel; T = S // hop + 1."""

    Config = DmelConfig
    origin = "spectrum"

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; `state_dir` is not used."""
        super().__init__(name, config, state_dir)
        rate = self.sample_rate_hz
        self._hop = round(config.frame_shift_sec * rate)
        self._window = torch.hann_window(round(config.window_sec * rate))
        self._filters = mel_filters(rate, config.fft_size, config.num_mel_bins, config.low_hz, config.high_hz)
        # The authors round the step to four digits.
        step = round((config.max_value - config.min_value) / (config.num_levels - 1), 4)
        self.levels = (config.min_value + step * torch.arange(config.num_levels, dtype=torch.float64)).float()
        self._thresholds = (self.levels[1:] + self.levels[:-1]) / 2

    @property
    def min_samples(self) -> int:
        """One window, and what the reflection at the edges needs."""
        return max(len(self._window), self.config.fft_size // 2 + 1)

    @property
    def reach(self) -> Optional[Reach]:
        """Half a window on each side of where a frame begins: nothing ahead of its own hop by default."""
        half = len(self._window) - len(self._window) // 2
        return Reach(self._hop, half, max(0, half - self._hop))

    @property
    def spec(self) -> FeatureSpec:
        """num_mel_bins codebooks of num_levels at 1 / frame_shift_sec."""
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=round(1 / self.config.frame_shift_sec, 6),
            num_codebooks=self.config.num_mel_bins,
            codebook_sizes=(self.config.num_levels,) * self.config.num_mel_bins,
            feature_dim=0,
            provenance={"tokenizer": "dmel", **self._settings(), "normalisation": "none"},
            made_with=self._made_with(),
        )

    def log_mel(self, samples: Tensor) -> Tensor:
        """log10 of the mel magnitudes (T, num_mel_bins) of one utterance (S,), before rounding to levels."""
        spectrum = torch.stft(
            samples,
            n_fft=self.config.fft_size,
            hop_length=self._hop,
            win_length=len(self._window),
            window=self._window,
            center=True,
            return_complex=True,
        )
        magnitude = (spectrum.real.square() + spectrum.imag.square()).clamp(min=FLOOR).sqrt()
        return (magnitude.T @ self._filters).clamp(min=FLOOR).log10()

    def _encode_one(self, samples: Tensor) -> Tensor:
        return torch.bucketize(self.log_mel(samples), self._thresholds)

    def codebooks(self) -> List[Tensor]:
        """num_mel_bins tensors (num_levels, 1): the level of each code, in log10 of the mel magnitude."""
        return [self.levels[:, None].clone() for _ in range(self.config.num_mel_bins)]

    def decode(self, codes: Tensor, code_lens: Tensor) -> Tensor:
        """log10-mel (N, T, K) float32 of codes (N, T, K); the lowest level in frames past `code_lens` (N,)."""
        inside = torch.arange(codes.shape[1]) < code_lens[:, None]
        return self.levels[codes * inside[:, :, None]]
