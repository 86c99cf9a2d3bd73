"""Where somebody speaks: what is loud, beside the loudest of the same recording, with the short pauses in it.

For speech without much noise, such as is read or recorded for a purpose. rVAD (Tan et al. 2020,
https://arxiv.org/abs/1906.03588), which wav2vec-U's paper cuts with, makes noisy speech clean first; this does not.
"""

import dataclasses
from typing import List, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting

_WINDOW_SEC, _HOP_SEC = 0.025, 0.01
# What counts as the loudest: a click shall not decide.
_LOUDEST_SHARE = 0.95
_TINY = 1e-10


@dataclasses.dataclass(frozen=True)
class VoiceActivityConfig:
    """What is taken for speech."""

    range_db: float = setting(35.0, "speech is at most so much softer than the loudest of its recording (dB)", above=0)
    min_pause_sec: float = setting(0.1, "a shorter pause is kept, as closures of [p] are (s)", minimum=0)
    min_speech_sec: float = setting(0.05, "what is loud for a shorter time is none (s)", minimum=0)
    margin_sec: float = setting(0.03, "what is kept before and behind speech besides (s)", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)


def loudness_db(samples: Tensor, sample_rate_hz: int) -> Tensor:
    """Mean power in dB of windows of 25 ms every 10 ms (T,), of samples (S,); the last window may be shorter."""
    window, hop = round(_WINDOW_SEC * sample_rate_hz), round(_HOP_SEC * sample_rate_hz)
    size = max(1, -(-(samples.numel() - window) // hop) + 1)
    filled = torch.nn.functional.pad(samples.double(), (0, max(0, (size - 1) * hop + window - samples.numel())))
    power = filled.square().unfold(0, window, hop).mean(dim=1)
    return 10 * torch.log10(power + _TINY)


def speech_parts(samples: Tensor, sample_rate_hz: int, config: VoiceActivityConfig) -> List[Tuple[int, int]]:
    """Parts in which somebody speaks, as pairs (start, end) of samples, in order; none in silence.

    Args:
      samples: (S,) float.
    """
    if not samples.numel():
        return []
    loudness = loudness_db(samples, sample_rate_hz)
    loudest = torch.quantile(loudness, _LOUDEST_SHARE)
    if float(loudest) <= 10 * torch.log10(torch.tensor(2 * _TINY)):
        return []
    hop = round(_HOP_SEC * sample_rate_hz)
    is_speech = _without_short(loudness >= loudest - config.range_db, False, round(config.min_pause_sec / _HOP_SEC))
    is_speech = _without_short(is_speech, True, round(config.min_speech_sec / _HOP_SEC))
    margin = round(config.margin_sec * sample_rate_hz)
    found: List[Tuple[int, int]] = []
    for start, end, loud in _runs(is_speech):
        if loud:
            last = samples.numel() if end == len(is_speech) else end * hop
            begin, last = max(0, start * hop - margin), min(samples.numel(), last + margin)
            if found and begin <= found[-1][1]:
                begin = found.pop()[0]
            found.append((begin, last))
    return found


def _runs(values: Tensor) -> List[Tuple[int, int, bool]]:
    """Runs of equal values (T,) as (start, end, value)."""
    kinds, counts = torch.unique_consecutive(values, return_counts=True)
    ends = counts.cumsum(0).tolist()
    return list(zip([0, *ends[:-1]], ends, kinds.tolist()))


def _without_short(is_speech: Tensor, kind: bool, frames: int) -> Tensor:
    """The same (T,) where runs of `kind` of fewer frames, but for those at both ends, are of the other kind."""
    found = is_speech.clone()
    for start, end, value in _runs(is_speech):
        if value == kind and end - start < frames and (kind or (start and end < len(is_speech))):
            found[start:end] = not kind
    return found
