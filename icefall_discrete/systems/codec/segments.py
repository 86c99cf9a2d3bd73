"""Training audio in bounded memory, and random segments of it."""

import collections
import hashlib
import logging
from typing import Callable, Iterable, List, NamedTuple, Sequence, Sized, Tuple

import torch
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.tokenizers.contract import AudioRejected

LOG = logging.getLogger(__name__)
# Audio is kept as 16-bit integers, which is what nearly all of it was recorded in.
INT16_SCALE = 32767.0


class Places(NamedTuple):
    """Where segments are: utterance (N,) of each, and its place in it (N,), from 0 for the first to 1 for the last."""

    utterances: Tensor
    shifts: Tensor


class AudioPool:
    """Utterances one after the other, int16, and where each begins."""

    def __init__(self, utterances: List[Tensor], names: Sequence[str] = ()) -> None:
        """`utterances`: at least one tensor (S,) int16. `names`: of each, for messages (none: their numbers)."""
        self.samples = torch.cat(utterances)
        self.names = list(names) or [f"number {index}" for index in range(len(utterances))]
        self.lens = torch.tensor([len(samples) for samples in utterances])
        self.ends = self.lens.cumsum(0)
        self.sha256 = hashlib.sha256(self.samples.numpy().tobytes() + self.lens.numpy().tobytes()).hexdigest()

    def places(self, num_segments: int, generator: torch.Generator) -> Places:
        """Random places of segments; every second of audio is as likely as another."""
        samples = torch.randint(len(self.samples), (num_segments,), generator=generator)
        shifts = torch.rand(num_segments, generator=generator)
        return Places(torch.searchsorted(self.ends, samples, right=True), shifts)

    def cut(self, places: Places, num_samples: int) -> Tensor:
        """Segments (N, num_samples) float32; each lies within its utterance, and one that is shorter ends in zeros."""
        batch = torch.zeros(len(places.utterances), num_samples)
        for row, (utterance, shift) in enumerate(zip(places.utterances.tolist(), places.shifts.tolist())):
            length, end = int(self.lens[utterance]), int(self.ends[utterance])
            start = end - length + int(shift * (max(0, length - num_samples) + 1))
            piece = self.samples[start : min(end, start + num_samples)]
            batch[row, : len(piece)] = piece / INT16_SCALE
        return batch

    def segments(self, num_segments: int, num_samples: int, generator: torch.Generator) -> Tensor:
        """Random segments (num_segments, num_samples) float32."""
        return self.cut(self.places(num_segments, generator), num_samples)


def read_pool(
    audio: Iterable[Tuple[Tensor, str]], max_mib: int, check_audio: Callable[[Tensor, str], None], name: str
) -> AudioPool:
    """Read audio until `max_mib` are full; what `check_audio` rejects is logged and left out.

    Args:
      audio: pairs of samples (S,) float32 in [-1, 1] and cut id, in an order that is random enough to stop anywhere.
      check_audio: raises AudioRejected for samples and a name of the cut. name: of the feature type, for messages.
    Raises:
      ValueError: if there is no audio that can be used.
    """
    capacity = max_mib * 2**20 // 2
    utterances: List[Tensor] = []
    names: List[str] = []
    held = 0
    rejected: collections.Counter = collections.Counter()
    total = len(audio) if isinstance(audio, Sized) else None
    for samples, cut_id in tqdm(audio, desc=f"audio for {name}", total=total, unit="cut"):
        try:
            check_audio(samples, f"cut {cut_id}")
        except AudioRejected as error:
            rejected[error.reason] += 1
            LOG.warning("left out of the training of the codec: %s", error)
            continue
        if utterances and held + len(samples) > capacity:
            LOG.info("%s: %d utterances fill fit_memory_mib, %d; the rest is left out", name, len(utterances), max_mib)
            break
        utterances.append((samples * INT16_SCALE).round().clamp(-32768, 32767).to(torch.int16))
        names.append(cut_id)
        held += len(samples)
    if rejected:
        LOG.warning("%s: utterances left out of the training of the codec: %s", name, dict(rejected))
    if not utterances:
        raise ValueError(f"{name}: no utterance can be used to train the codec; look at the warnings above.")
    return AudioPool(utterances, names)
