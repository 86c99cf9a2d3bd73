"""Time warp and time masks on codes and features: SpecAugment for discrete tokens.

The settings of "Towards Universal Speech Discrete Tokens" (https://arxiv.org/abs/2309.07377), as its released code has
them (80 and 100 frames at 100 Hz), stated in seconds, so that feature types of different rates are masked alike. Masks
over the embedding and Gaussian noise act after the embedding: nn/code_embedding.py reads their settings from here.
"""

import dataclasses
import math
from typing import Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the training data, on codes and after the embedding."""

    augment_prob: float = setting(
        0.9, "probability with which an utterance is warped and masked in time", minimum=0, maximum=1
    )
    time_warp_sec: float = setting(
        0.8, "largest shift of the warp's centre, in seconds; 0 switches the warp off", minimum=0
    )
    num_frame_masks: int = setting(10, "largest number of time masks of an utterance; 0 switches them off", minimum=0)
    frames_mask_sec: float = setting(1.0, "largest width of a time mask, in seconds", minimum=0)
    max_frames_mask_fraction: float = setting(
        0.15, "largest part of an utterance that time masks may cover", minimum=0, maximum=1
    )
    frames_mask_fraction: float = setting(
        0.0,
        "as in ESPnet: all num_frame_masks masks, each narrower than this part of the utterance (0.05), instead of the "
        "two settings above; 0: by those",
        minimum=0,
        maximum=1,
    )
    unit_bpe_alpha: float = setting(
        0.0,
        "for feature types of pieces of units (..._bpe5000): other pieces for the same units are drawn in each epoch; "
        "unigram: the smaller, the more evenly (ESPnet: 0.4), bpe: the probability that a merge is left out; 0: none",
        minimum=0,
        maximum=1,
    )
    time_mask_ratio: float = setting(
        2.5, "times as many time masks, over as much more of an utterance, where there are two views (CR-CTC)", above=0
    )
    num_embedding_masks: int = setting(2, "number of masks over embedding dimensions", minimum=0)
    embedding_mask_size: int = setting(
        27, "largest width of a mask over embedding dimensions (paper: 27 of 80)", minimum=0
    )
    gaussian_noise_prob: float = setting(
        0.0, "probability of N(0, 1) noise on the embedding (paper's code: 0.25)", minimum=0, maximum=1
    )
    augment_start_epoch: int = setting(
        1, "first epoch with masks, warp and noise; epochs are numbered from 1", minimum=0
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def of_views(self) -> "AugmentConfig":
        """The settings with the stronger time masks of two views."""
        return dataclasses.replace(
            self,
            num_frame_masks=int(self.num_frame_masks * self.time_mask_ratio),
            max_frames_mask_fraction=min(1.0, self.max_frames_mask_fraction * self.time_mask_ratio),
        )

    def is_on(self, epoch: int) -> bool:
        """Whether epoch number `epoch` (from 1) is augmented."""
        return epoch >= self.augment_start_epoch


def _rand_int(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))


def warp_positions(num_frames: int, max_shift: int, generator: torch.Generator) -> Tensor:
    """Source position (float, T) of each of `num_frames` frames after a random time warp.

    A centre, at least `max_shift` + 1 frames from both ends, moves by up to `max_shift` frames; what lies on either
    side of it is stretched or squeezed linearly, and the length stays. Too short an utterance (T <= 2 max_shift + 1)
    is not warped.
    """
    if max_shift <= 0 or num_frames <= 2 * max_shift + 1:
        return torch.arange(num_frames, dtype=torch.float64)
    centre = _rand_int(max_shift + 1, num_frames - max_shift, generator)
    warped = _rand_int(centre - max_shift, centre + max_shift + 1, generator)
    left = (torch.arange(warped, dtype=torch.float64) + 0.5) * centre / warped - 0.5
    rest = num_frames - centre
    right = (torch.arange(num_frames - warped, dtype=torch.float64) + 0.5) * rest / (num_frames - warped) - 0.5
    return torch.cat([left.clamp(0, centre - 1), centre + right.clamp(0, rest - 1)])


def warp(frames: Tensor, positions: Tensor) -> Tensor:
    """Resample `frames` (T, K) or (T, D) at float `positions` (T,): nearest neighbour for ids, linear for floats."""
    if not frames.is_floating_point():
        return frames[(positions + 0.5).floor().long()]
    low = positions.floor().long()
    high = (low + 1).clamp(max=len(frames) - 1)
    weight = (positions - low).to(frames.dtype).unsqueeze(1)
    return frames[low] * (1 - weight) + frames[high] * weight


def time_mask(num_frames: int, frame_rate_hz: float, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Frames to mask, bool (T,): up to num_frame_masks spans, together at most max_frames_mask_fraction of T.

    With frames_mask_fraction: num_frame_masks spans, each of 0 to floor(frames_mask_fraction T) - 1 frames, wherever.
    """
    mask = torch.zeros(num_frames, dtype=torch.bool)
    if config.frames_mask_fraction > 0:
        return with_spans(mask, config.num_frame_masks, int(config.frames_mask_fraction * num_frames) - 1, generator)
    largest = round(config.frames_mask_sec * frame_rate_hz)
    budget = config.max_frames_mask_fraction * num_frames
    if config.num_frame_masks <= 0 or largest <= 0 or budget < 1:
        return mask
    count = min(config.num_frame_masks, math.ceil(budget / largest))
    return with_spans(mask, count, min(largest, int(budget // count)), generator)


def with_spans(mask: Tensor, count: int, widest: int, generator: torch.Generator) -> Tensor:
    """The mask (T,) with `count` spans of 0 to `widest` frames in it; none if `widest` is below 1."""
    for _ in range(count if widest >= 0 else 0):
        width = _rand_int(0, widest + 1, generator)
        start = _rand_int(0, len(mask) - width + 1, generator)
        mask[start : start + width] = True
    return mask


def augment_frames(
    frames: Tensor,
    frame_lens: Tensor,
    mask_values: Sequence[float],
    frame_rate_hz: float,
    config: AugmentConfig,
    generator: torch.Generator,
) -> Tensor:
    """Warp and mask a batch in time; the padded tails and the input tensor stay as they are, and so do the lengths.

    Args:
      frames: (N, T, K) int64 codes or (N, T, D) float features.
      frame_lens: (N,) valid frames.
      mask_values: what a masked frame holds: the K padding ids, or one 0.0 for features.
      frame_rate_hz: rate of the frames, to turn seconds into frames.
      config: the settings.
      generator: the only source of randomness; the same state gives the same result.
    Returns:
      A new tensor like `frames`.
    """
    result = frames.clone()
    fill = torch.tensor(list(mask_values), dtype=frames.dtype)
    max_shift = round(config.time_warp_sec * frame_rate_hz)
    for row, length in zip(result, frame_lens.tolist()):
        if float(torch.rand(1, generator=generator)) >= config.augment_prob:
            continue
        positions = warp_positions(length, max_shift, generator)
        row[:length] = warp(row[:length], positions)
        row[:length][time_mask(length, frame_rate_hz, config, generator)] = fill
    return result


def augment_views(
    frames: Tensor,
    frame_lens: Tensor,
    mask_values: Sequence[float],
    frame_rate_hz: float,
    config: AugmentConfig,
    generator: torch.Generator,
) -> Tuple[Tensor, Tensor]:
    """Two views of a batch for CR-CTC: warped in the same way, so that their frames correspond, and masked apart.

    CR-CTC, https://arxiv.org/abs/2410.05101: time masks are stronger than usual, by `config.time_mask_ratio`; an
    utterance is warped, and each of its views masked, with probability `config.augment_prob`.

    Args: as of `augment_frames`.
    Returns:
      Two new tensors like `frames`.
    """
    warp_only = dataclasses.replace(config, num_frame_masks=0)
    mask_only = dataclasses.replace(config.of_views(), time_warp_sec=0.0)
    warped = augment_frames(frames, frame_lens, mask_values, frame_rate_hz, warp_only, generator)
    first = augment_frames(warped, frame_lens, mask_values, frame_rate_hz, mask_only, generator)
    return first, augment_frames(warped, frame_lens, mask_values, frame_rate_hz, mask_only, generator)
