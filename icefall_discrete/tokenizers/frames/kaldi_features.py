"""Kaldi-compatible spectral features of one utterance, computed by lhotse, and the time derivatives of any."""

import torch
from lhotse.features.kaldi.extractors import Fbank, FbankConfig, Mfcc, MfccConfig
from torch import Tensor

WINDOW_SEC = 0.025
DELTA_WINDOW = 2


def make_fbank(sample_rate_hz: int, frame_shift_sec: float, num_mel_bins: int) -> Fbank:
    """Log-mel filter banks with Kaldi's defaults, no dither and no edge snipping: T = round(S / hop)."""
    return Fbank(
        FbankConfig(
            sampling_rate=sample_rate_hz,
            frame_length=WINDOW_SEC,
            frame_shift=frame_shift_sec,
            num_filters=num_mel_bins,
            dither=0.0,
            snip_edges=False,
        )
    )


def make_mfcc(sample_rate_hz: int, frame_shift_sec: float, num_ceps: int) -> Mfcc:
    """MFCC with Kaldi's defaults (23 mel bins up to half the rate, C0 kept), no dither and no edge snipping."""
    return Mfcc(
        MfccConfig(
            sampling_rate=sample_rate_hz,
            frame_length=WINDOW_SEC,
            frame_shift=frame_shift_sec,
            num_ceps=num_ceps,
            high_freq=0.0,  # lhotse's own default is 400 Hz lower, that of its filter banks
            dither=0.0,
            snip_edges=False,
            use_energy=False,
        )
    )


def deltas(frames: Tensor) -> Tensor:
    """First time derivative of frames (T, D), Kaldi's regression over +-2 frames with the edges repeated: (T, D)."""
    offsets = torch.arange(-DELTA_WINDOW, DELTA_WINDOW + 1)
    weights = offsets.to(frames.dtype) / float((offsets**2).sum())
    last = len(frames) - 1
    times = torch.arange(len(frames))
    slope = torch.zeros_like(frames)
    for offset, weight in zip(offsets.tolist(), weights.tolist()):
        slope += weight * frames[(times + offset).clamp(0, last)]
    return slope


def with_deltas(frames: Tensor) -> Tensor:
    """Append first and second derivatives to frames (T, D): (T, 3 D)."""
    first = deltas(frames)
    return torch.cat([frames, first, deltas(first)], dim=1)
