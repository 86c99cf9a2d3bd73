"""Spectra made of products and sums alone, which other runtimes know: the transform is a matrix.

Letters: S samples, T frames, L samples of a window, B bins.
"""

import math
from typing import Optional, Union, cast

import torch
from lhotse.features.kaldi.extractors import Fbank, Mfcc
from torch import Tensor, nn


def mirrored_frames(
    samples: Tensor, num_frames: Union[int, Tensor], length: int, shift: int, lead: int, edge_twice: bool
) -> Tensor:
    """Frames (T, L) of samples (S,), the first of which begins `lead` samples before them, mirrored at both ends.

    num_frames: T, a number that a trace keeps open. edge_twice: whether the mirror stands behind the last sample, so
    that it is there twice, as in Kaldi; else it stands on it, as in torch.stft.
    """
    place = torch.arange(cast(int, num_frames)).unsqueeze(1) * shift + torch.arange(length) - lead
    last, twice = samples.shape[0] - 1, int(edge_twice)
    place = torch.where(place < 0, -place - twice, place)
    return samples[torch.where(place > last, 2 * last + twice - place, place)]


class PowerSpectrum(nn.Module):
    """Power (T, B) of frames (T, L) at the bins of a Fourier transform of `size` points; in float64, as float32."""

    waves: Tensor

    def __init__(self, length: int, size: int) -> None:
        super().__init__()
        turns = torch.arange(length, dtype=torch.float64).unsqueeze(1) * torch.arange(size // 2 + 1) / size
        self.num_bins = size // 2 + 1
        waves = torch.cat([(2 * math.pi * turns).cos(), (2 * math.pi * turns).sin()], dim=1)
        self.register_buffer("waves", waves, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (T, L) to (T, B)."""
        parts = torch.matmul(frames.to(torch.float64), self.waves)
        return (parts[:, : self.num_bins].square() + parts[:, self.num_bins :].square()).to(torch.float32)


class KaldiSpectrum(nn.Module):
    """The filter banks or MFCC of an extractor of lhotse, without edge snipping and dither."""

    def __init__(self, extractor: Union[Fbank, Mfcc]) -> None:
        super().__init__()
        layer = extractor.extractor
        framing = layer.wav2win
        self.length, self.shift, self.preemphasis = framing._length, framing._shift, framing.preemph_coeff
        self.window, self.mel, self.floor = framing._window, layer._fb, layer._eps
        self.power = PowerSpectrum(self.length, layer.fft_length)
        self.cosines: Optional[Tensor] = getattr(layer, "_dct", None)
        self.lifter: Optional[Tensor] = getattr(layer, "_lifter", None)

    def forward(self, samples: Tensor) -> Tensor:
        """Map samples (S,) to (T, D)."""
        num_frames = (samples.shape[0] + self.shift // 2) // self.shift
        frames = mirrored_frames(samples, num_frames, self.length, self.shift, (self.length - self.shift) // 2, True)
        frames = frames - frames.mean(dim=1, keepdim=True)
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        frames = (frames - self.preemphasis * before) * self.window
        mel = torch.maximum(torch.matmul(self.power(frames), self.mel), self.floor).log()
        if self.cosines is None or self.lifter is None:
            return mel
        return torch.matmul(mel, self.cosines) * self.lifter
