"""Rate matching: nearest-neighbour resampling in time, so that one encoder serves feature types of any frame rate."""

from fractions import Fraction
from typing import Optional, Tuple, TypeVar

import torch
from torch import Tensor

Count = TypeVar("Count", int, Tensor)


def rate_ratio(input_frame_rate_hz: float, frame_rate_hz: float) -> Fraction:
    """Frames after rate matching for one frame before it; 1 where `input_frame_rate_hz` is 0 (no matching)."""
    if input_frame_rate_hz == 0:
        return Fraction(1)
    if input_frame_rate_hz < 0:
        raise ValueError(f"input_frame_rate_hz is {input_frame_rate_hz}, expected 0 (no matching) or a positive rate.")
    return (Fraction(input_frame_rate_hz) / Fraction(frame_rate_hz)).limit_denominator(1000)


def matched_lens(lens: Count, ratio: Fraction) -> Count:
    """Frames after rate matching of `lens` frames (an int or an integer tensor): lens x ratio, rounded up."""
    return -((-lens * ratio.numerator) // ratio.denominator)


def source_frames(start: int, stop: int, ratio: Fraction, device: Optional[torch.device] = None) -> Tensor:
    """Input frames (stop - start,) that the output frames `start` to `stop` - 1 are: floor(j / ratio)."""
    output = torch.arange(start, stop, device=device)
    return torch.div(output * ratio.denominator, ratio.numerator, rounding_mode="floor")


def match_rate(x: Tensor, lens: Tensor, ratio: Fraction) -> Tuple[Tensor, Tensor]:
    """Nearest-neighbour resampling in time of x (N, T, D), lens (N,): output frame j is input frame floor(j / ratio).

    With ratio 2 each frame is repeated (50 to 100 Hz, as the code of arXiv 2309.07377 does); a frame depends on its own
    utterance only, so that padding changes nothing.
    """
    if ratio == 1:
        return x, lens
    source = source_frames(0, matched_lens(x.shape[1], ratio), ratio, x.device)
    return x.index_select(1, source), matched_lens(lens, ratio)
