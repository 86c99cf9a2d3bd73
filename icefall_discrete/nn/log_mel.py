"""Log mel spectra of audio at the rate of its frames, standardised by each bin: what a voice is known by.

N utterances, S samples, F samples of a frame, M mel bins.
"""

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.audio.slaney_mel import mel_filters

LOW_HZ, HIGH_HZ = 80.0, 7600.0
WINDOW_SEC = 465 / 16000
_SPECTRUM_SEC = 1024 / 16000
_FLOOR = 1e-10
_LEAST_DEVIATION = 1e-2


class LogMel(nn.Module):
    """Common logarithms of magnitude spectra in M mel bins, 80 to 7600 Hz; frame t is centred on sample t F.

    CTX-vec2wav's (Du et al. 2023, https://arxiv.org/abs/2306.07547) at 100 Hz; longer frames have windows of two of
    them, so that no sample is left out. Mean and deviation of each bin are buffers: those that `fit` found.

    Args:
      sample_rate_hz: of the audio. frame_samples: F. num_bins: M.
    """

    mean: Tensor
    deviation: Tensor
    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate_hz: int, frame_samples: int, num_bins: int) -> None:
        super().__init__()
        self.frame_samples = frame_samples
        size = max(round(WINDOW_SEC * sample_rate_hz), 2 * frame_samples)
        self.fft_size = 1 << (max(size, round(_SPECTRUM_SEC * sample_rate_hz)) - 1).bit_length()
        self.register_buffer("mean", torch.zeros(num_bins))
        self.register_buffer("deviation", torch.ones(num_bins))
        before = (self.fft_size - size) // 2
        window = F.pad(torch.hann_window(size), (before, self.fft_size - size - before))
        self.register_buffer("window", window, persistent=False)
        high_hz = min(HIGH_HZ, sample_rate_hz / 2)
        filters = mel_filters(sample_rate_hz, self.fft_size, num_bins, LOW_HZ, high_hz)
        self.register_buffer("filters", filters, persistent=False)

    def _logs(self, audio: Tensor) -> Tensor:
        """(N, S // F, M) of audio (N, S), as they are."""
        padded = F.pad(audio.float(), (self.fft_size // 2, self.fft_size // 2))
        spectrum = torch.stft(
            padded, self.fft_size, self.frame_samples, window=self.window, center=False, return_complex=True
        )
        magnitudes = (spectrum.real.square() + spectrum.imag.square()).sqrt().transpose(1, 2)
        return (magnitudes[:, : audio.shape[1] // self.frame_samples] @ self.filters).clamp(min=_FLOOR).log10()

    def forward(self, audio: Tensor) -> Tensor:
        """Standardised (N, S // F, M) of audio (N, S)."""
        return (self._logs(audio) - self.mean) / self.deviation

    @torch.no_grad()
    def fit(self, audio: Sequence[Tensor]) -> None:
        """Take mean and deviation from audio, each (S,)."""
        rows = torch.cat([self._logs(one[None])[0] for one in audio])
        self.mean.copy_(rows.mean(dim=0))
        self.deviation.copy_(rows.std(dim=0).clamp(min=_LEAST_DEVIATION))
