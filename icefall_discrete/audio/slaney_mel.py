"""Mel filters on Slaney's scale with unit area: those of librosa's defaults, which Whisper and dMel were made with.

Slaney 1998, "Auditory Toolbox": linear below 1000 Hz (200/3 Hz a mel), then logarithmic (27 mels a factor of 6.4).
"""

import math

import torch
from torch import Tensor

LINEAR_HZ_PER_MEL = 200.0 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = math.log(6.4) / 27


def hz_to_mel(hz: float) -> float:
    """Slaney's mel value of a frequency."""
    return hz / LINEAR_HZ_PER_MEL if hz < BREAK_HZ else BREAK_MEL + math.log(hz / BREAK_HZ) / LOG_STEP


def mel_to_hz(mels: Tensor) -> Tensor:
    """Frequencies of Slaney's mel values, any shape."""
    return torch.where(mels < BREAK_MEL, mels * LINEAR_HZ_PER_MEL, BREAK_HZ * torch.exp(LOG_STEP * (mels - BREAK_MEL)))


def mel_filters(sample_rate_hz: int, fft_size: int, num_mel_bins: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangular filters (fft_size // 2 + 1, num_mel_bins) float32, each of unit area in Hz."""
    bins_hz = torch.linspace(0, sample_rate_hz / 2, fft_size // 2 + 1, dtype=torch.float64)
    mels = torch.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), num_mel_bins + 2, dtype=torch.float64)
    edges_hz = mel_to_hz(mels)
    left, centre, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - left) / (centre - left)
    falling = (right - bins_hz[:, None]) / (right - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2.0 / (right - left))).float()
