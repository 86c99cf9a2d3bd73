"""Kaldi-compatible spectral features of one utterance, and the time derivatives of any.

lhotse computes them; filter banks on a GPU are those of kaldifeat, where it can be imported. Letters: S samples,
T frames, D dimensions.
"""

import functools
from typing import Callable

import torch
from lhotse.features.kaldi.extractors import Fbank, FbankConfig, Mfcc, MfccConfig
from lhotse.features.kaldifeat import KaldifeatFbank, KaldifeatFbankConfig, KaldifeatFrameOptions, KaldifeatMelOptions
from torch import Tensor, nn

from icefall_discrete.audio.as_it_comes import Reach

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


def reach_of(sample_rate_hz: int, frame_shift_sec: float, num_neighbours: int = 0) -> Reach:
    """What a frame of `make_fbank` or `make_mfcc` hears, with so many neighbours on each side."""
    hop, window = int(frame_shift_sec * sample_rate_hz), int(WINDOW_SEC * sample_rate_hz)
    before = (window - hop) // 2
    neighbours = num_neighbours * hop
    return Reach(hop, max(0, before) + neighbours, max(0, window - hop - before) + neighbours)


@functools.cache
def has_kaldifeat() -> bool:
    """Whether kaldifeat can be imported."""
    try:
        import kaldifeat  # noqa: F401 (whether it can be is the question)
    except ImportError:
        return False
    return True


def reflected(samples: Tensor, window: int, shift: int) -> Tensor:
    """Samples (S,) with the edges that `make_fbank` adds, so that windows within them are its frames, one a hop.

    Kaldi reflects the signal in another way where it does not snip edges; window and shift are in samples.
    """
    num_frames = (len(samples) + shift // 2) // shift
    size = (num_frames - 1) * shift + window
    left = (window - shift) // 2
    right = max(0, size - len(samples) - left)
    return torch.cat([samples[:left].flip(0), samples, samples[len(samples) - right :].flip(0)])[:size]


def make_device_fbank(
    sample_rate_hz: int, frame_shift_sec: float, num_mel_bins: int, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Those of `make_fbank`, but for float noise, by kaldifeat on `device`: samples (S,) to frames (T, D)."""
    extractor = KaldifeatFbank(
        KaldifeatFbankConfig(
            frame_opts=KaldifeatFrameOptions(
                sampling_rate=sample_rate_hz, frame_shift=frame_shift_sec, frame_length=WINDOW_SEC, snip_edges=True
            ),
            mel_opts=KaldifeatMelOptions(num_bins=num_mel_bins),
            device=str(device),
        )
    )
    window, shift = int(WINDOW_SEC * sample_rate_hz), int(frame_shift_sec * sample_rate_hz)

    def frames(samples: Tensor) -> Tensor:
        return extractor.extract(reflected(samples, window, shift).to(device), sample_rate_hz)

    return frames


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
    num_frames = frames.shape[0]
    sides = (frames[:1].expand(DELTA_WINDOW, -1), frames, frames[-1:].expand(DELTA_WINDOW, -1))
    repeated = torch.cat(sides)
    slope = torch.zeros_like(frames)
    for offset, weight in zip(offsets.tolist(), weights.tolist()):
        first = DELTA_WINDOW + offset
        slope = slope + weight * repeated[first : first + num_frames]
    return slope


class Deltas(nn.Module):
    """`with_deltas` as a network."""

    def forward(self, frames: Tensor) -> Tensor:
        """Map (T, D) to (T, 3 D)."""
        return with_deltas(frames)


def with_deltas(frames: Tensor) -> Tensor:
    """Append first and second derivatives to frames (T, D): (T, 3 D)."""
    first = deltas(frames)
    return torch.cat([frames, first, deltas(first)], dim=1)
