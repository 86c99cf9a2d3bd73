"""Codes with the audio that they are to become: what batches of vocoders hold, and parts of utterances to train on.

A frame of codes stands for a whole number of samples, F: code t for samples t F to (t + 1) F.
"""

import dataclasses
from typing import List

import numpy as np
import torch
from lhotse import CutSet, MonoCut
from lhotse.utils import fastcopy
from torch import Tensor

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_durations, num_frames
from icefall_discrete.data.dataset import Batch, derived_seed

AUDIO = "audio"
DURATIONS = "durations"
_TOLERANCE = 1e-3


def frame_samples(spec: FeatureSpec) -> int:
    """Samples F of a frame at the (highest) rate of the codes. Raises ValueError if that is no whole number."""
    samples = spec.sample_rate_hz / (spec.max_frame_rate_hz or spec.frame_rate_hz)
    if abs(samples - round(samples)) > _TOLERANCE * samples or round(samples) < 1:
        raise ValueError(
            f"'{spec.name}' has a frame every {samples:.4g} samples at {spec.sample_rate_hz} Hz, expected a whole "
            "number to make a waveform of; choose another feature type."
        )
    return round(samples)


def expanded(codes: Tensor, durations: Tensor) -> Tensor:
    """Codes (T, K) each repeated for its duration (T,), in frames: (sum, K).

    Raises:
      ValueError: if there is not one duration for each code, which codes of pieces of units have not.
    """
    if len(codes) != len(durations):
        raise ValueError(
            f"{len(codes)} codes with {len(durations)} durations, expected one for each; use the feature type of the "
            "units themselves, not of pieces of them."
        )
    return codes.repeat_interleave(durations, dim=0)


@dataclasses.dataclass(frozen=True)
class WithAudio:
    """Adds `audio` (N, S) float32 to a batch, S its longest utterance in whole frames, zeros behind ends.

    Codes of a variable rate bring along `durations` (N, T) int64, 0 behind ends.
    """

    spec: FeatureSpec

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts with their audio.

        Raises:
          UnreadableAudio: for audio that cannot be read, or is not finite; the cut is named.
        """
        lens = batch["frame_lens"]
        more = {}
        if self.spec.has_variable_rate:
            rows = [torch.from_numpy(load_durations(cut, self.spec).astype(np.int64)) for cut in cuts]
            more[DURATIONS] = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            lens = more[DURATIONS].sum(dim=1)
        sizes = [length * frame_samples(self.spec) for length in lens.tolist()]
        audio = torch.zeros(len(sizes), max(sizes))
        for row, size, cut in zip(audio, sizes, cuts):
            samples = load_finite(cut, self.spec.sample_rate_hz)[:size]
            row[: len(samples)] = samples
        return {**batch, AUDIO: audio, **more}


def parts_of(cuts: CutSet, spec: FeatureSpec, part_sec: float, *seeds: int) -> CutSet:
    """The cuts, those longer than `part_sec` seconds divided into parts of 0.5 to 1.5 times that, at random places.

    Parts together are the whole; where they begin is drawn with `seeds` and the cut's id. Codes of a variable rate
    belong to whole utterances and are not divided.
    """
    if spec.has_variable_rate:
        return cuts
    longest = max(2, round(part_sec * spec.frame_rate_hz))
    found: List[MonoCut] = []
    for cut in cuts:
        total = num_frames(cut, spec)
        places = _places(total, longest, derived_seed(*seeds, *cut.id.encode()))
        found += [_part(cut, begin / spec.frame_rate_hz, end / spec.frame_rate_hz) for begin, end in places] or [cut]
    return CutSet.from_cuts(found)


def _part(cut: MonoCut, begin_sec: float, end_sec: float) -> MonoCut:
    # Not cut.truncate, which drops what supervisions elsewhere in the cut tell of its speaker.
    end_sec = min(end_sec, cut.duration)
    return fastcopy(cut, start=round(cut.start + begin_sec, 8), duration=round(end_sec - begin_sec, 8))


def _places(total: int, longest: int, seed: int) -> List[tuple]:
    """Beginnings and ends of the parts of `total` frames; none if it is to stay whole."""
    if total <= longest:
        return []
    size = -(-total // -(-total // longest))
    first = size // 2 + seed % (size - size // 2)
    ends = list(range(first, total, size))
    if len(ends) > 1 and total - ends[-1] < size // 2:
        ends.pop()
    return list(zip([0, *ends], [*ends, total]))
