"""How far a codec's audio is from what it was given: waveform, magnitude spectra and log mel spectra of many windows.

What makes audio natural beyond that is adversarial.py.
Multi-scale spectra as in Défossez et al. 2022, https://arxiv.org/abs/2210.13438, section 3.4, and Yamamoto et al. 2020,
https://arxiv.org/abs/1910.11480 (spectral convergence). N segments, S samples.
"""

from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.audio.slaney_mel import mel_filters

HOPS_PER_WINDOW = 4
# A mel bin narrower than this many bins of the spectrum may hold none.
SPECTRUM_BINS_PER_MEL = 8
# Magnitudes below this are silence: quieter than the rounding of 16-bit audio in any of the windows.
FLOOR = 1e-3


class ReconstructionLoss(nn.Module):
    """Losses of audio (N, S) against its original (N, S), by name: waveform, mel, stft."""

    def __init__(self, sample_rate_hz: int, fft_sizes: Tuple[int, ...], max_mel_bins: int) -> None:
        """Windows of `fft_sizes` samples; shorter ones have fewer mel bins."""
        super().__init__()
        self.fft_sizes = fft_sizes
        for size in fft_sizes:
            bins = max(1, min(max_mel_bins, size // 2 // SPECTRUM_BINS_PER_MEL))
            filters = mel_filters(sample_rate_hz, size, bins, 0.0, sample_rate_hz / 2)
            # Each mel bin is a mean over the spectrum, so that its level does not depend on its width.
            self.register_buffer(f"filters{size}", filters / filters.sum(dim=0).clamp(min=1e-10), persistent=False)
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def magnitudes(self, audio: Tensor, size: int) -> Tensor:
        """Magnitude spectra (N, frames, size // 2 + 1) of audio (N, S), in windows of `size` samples."""
        window = getattr(self, f"window{size}")
        hop = size // HOPS_PER_WINDOW
        # Zeros around, so that audio shorter than a window has a spectrum too.
        audio = F.pad(audio, (size // 2, size // 2))
        spectrum = torch.stft(audio, size, hop, window=window, center=False, return_complex=True)
        return (spectrum.real.square() + spectrum.imag.square() + FLOOR**2).sqrt().transpose(1, 2)

    def forward(self, output: Tensor, target: Tensor) -> Dict[str, Tensor]:
        """See the class."""
        mel = stft = output.new_zeros(())
        for size in self.fft_sizes:
            filters = getattr(self, f"filters{size}")
            ours, theirs = self.magnitudes(output, size), self.magnitudes(target, size)
            mel = mel + F.l1_loss((ours @ filters).log(), (theirs @ filters).log())
            convergence = torch.linalg.vector_norm(theirs - ours) / torch.linalg.vector_norm(theirs)
            stft = stft + convergence + F.l1_loss(ours.log(), theirs.log())
        # Of the mean amplitude, so that quiet corpora are not neglected.
        waveform = F.l1_loss(output, target) / target.abs().mean().clamp(min=FLOOR)
        return {"waveform": waveform, "mel": mel / len(self.fft_sizes), "stft": stft / len(self.fft_sizes)}
