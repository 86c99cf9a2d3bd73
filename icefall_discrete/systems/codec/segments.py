"""Training audio in bounded memory, and random segments of it."""

import collections
import hashlib
import logging
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence, Sized, Tuple

import torch
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.systems.codec.guidance import Spoken, Taught
from icefall_discrete.systems.codec.lessons import BLANK, BYTES_KEPT, NOTHING, Lessons, Teacher
from icefall_discrete.tokenizers.contract import AudioRejected

LOG = logging.getLogger(__name__)
# Audio is kept as 16-bit integers, which is what nearly all of it was recorded in.
INT16_SCALE = 32767.0


class Places(NamedTuple):
    """Where segments are: utterance (N,) of each, and its place in it (N,), from 0 for the first to 1 for the last."""

    utterances: Tensor
    shifts: Tensor


class AudioPool:
    """Utterances one after the other, int16, and where each begins; `lessons` is what else is known of them."""

    def __init__(self, utterances: List[Tensor], names: Sequence[str] = (), lessons: Lessons = NOTHING) -> None:
        """`utterances`: at least one tensor (S,) int16. `names`: of each, for messages (none: their numbers)."""
        self.lessons = lessons
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
        for row, (utterance, offset) in enumerate(self._offsets(places, num_samples)):
            end = int(self.ends[utterance])
            start = end - int(self.lens[utterance]) + offset
            piece = self.samples[start : min(end, start + num_samples)]
            batch[row, : len(piece)] = piece / INT16_SCALE
        return batch

    def _offsets(self, places: Places, num_samples: int) -> List[Tuple[int, int]]:
        """Utterance of each segment, and how many samples of it lie before the segment."""
        return [
            (utterance, int(shift * (max(0, int(self.lens[utterance]) - num_samples) + 1)))
            for utterance, shift in zip(places.utterances.tolist(), places.shifts.tolist())
        ]

    def taught(self, places: Places, num_samples: int, frame_samples: int, sample_rate_hz: int) -> Taught:
        """The teacher's frame in the middle of each frame of `frame_samples` of the segments."""
        middles = (torch.arange(num_samples // frame_samples, dtype=torch.float64) + 0.5) * frame_samples
        per_sample = self.lessons.frame_rate_hz / sample_rate_hz
        frames, heard = [], []
        for utterance, offset in self._offsets(places, num_samples):
            known = self.lessons.frames[utterance]
            frames.append(known[((offset + middles) * per_sample).long().clamp(max=len(known) - 1)].float())
            heard.append(offset + middles - frame_samples / 2 < self.lens[utterance])
        return Taught(torch.stack(frames), torch.stack(heard))

    def spoken(self, utterances: Tensor, frame_samples: int) -> Spoken:
        """Whole utterances (N,) with their letters, padded to whole frames of `frame_samples`."""
        frame_lens = torch.div(self.lens[utterances] + frame_samples - 1, frame_samples, rounding_mode="floor")
        places = Places(utterances, torch.zeros(len(utterances)))
        audio = self.cut(places, int(frame_lens.max()) * frame_samples)
        labels = [self.lessons.labels[utterance] for utterance in utterances.tolist()]
        padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=BLANK)
        return Spoken(audio, frame_lens, padded, torch.tensor([len(one) for one in labels]))

    def segments(self, num_segments: int, num_samples: int, generator: torch.Generator) -> Tensor:
        """Random segments (num_segments, num_samples) float32."""
        return self.cut(self.places(num_segments, generator), num_samples)


def read_pool(
    audio: Iterable[Tuple[Tensor, str]],
    max_mib: int,
    check_audio: Callable[[Tensor, str], None],
    name: str,
    teacher: Optional[Teacher] = None,
) -> AudioPool:
    """Read audio until `max_mib` are full; what `check_audio` rejects is logged and left out.

    Args:
      audio: pairs of samples (S,) float32 in [-1, 1] and cut id, in an order that is random enough to stop anywhere.
      check_audio: raises AudioRejected for samples and a name of the cut. name: of the feature type, for messages.
      teacher: whose frames are kept with the audio, and counted with it.
    Raises:
      ValueError: if there is no audio that can be used.
    """
    capacity, held = max_mib * 2**20, 0
    utterances: List[Tensor] = []
    names: List[str] = []
    taught: List[Tensor] = []
    rejected: collections.Counter = collections.Counter()
    total = len(audio) if isinstance(audio, Sized) else None
    for samples, cut_id in tqdm(audio, desc=f"audio for {name}", total=total, unit="cut"):
        try:
            check_audio(samples, f"cut {cut_id}")
            frames = _taught_frames(teacher, samples, cut_id)
        except AudioRejected as error:
            rejected[error.reason] += 1
            LOG.warning("left out of the training of the codec: %s", error)
            continue
        size = 2 * len(samples) + sum(BYTES_KEPT * one.numel() for one in frames)
        if utterances and held + size > capacity:
            LOG.info("%s: %d utterances fill fit_memory_mib, %d; the rest is left out", name, len(utterances), max_mib)
            break
        utterances.append((samples * INT16_SCALE).round().clamp(-32768, 32767).to(torch.int16))
        names.append(cut_id)
        taught += frames
        held += size
    if rejected:
        LOG.warning("%s: utterances left out of the training of the codec: %s", name, dict(rejected))
    if not utterances:
        raise ValueError(f"{name}: no utterance can be used to train the codec; look at the warnings above.")
    rate_hz = teacher.source.frame_rate_hz if teacher is not None else 0.0
    return AudioPool(utterances, names, Lessons(taught, rate_hz))


def _taught_frames(teacher: Optional[Teacher], samples: Tensor, cut_id: str) -> List[Tensor]:
    """The teacher's frames of an utterance; none where there is no teacher."""
    if teacher is None:
        return []
    frames = teacher.frames(samples)
    if frames is None:
        raise AudioRejected("too_short", 0, f"cut {cut_id}: too short for a frame of the teacher; drop the cut.")
    return [frames]
