"""What utterances bring along for the first codebook of a codec: frames of a teacher, letters of their transcripts."""

import hashlib
import itertools
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.settings import KIND
from icefall_discrete.tokenizers.formats.pretrained import portable_name
from icefall_discrete.tokenizers.frames import FrameSource
from icefall_discrete.tokenizers.frames.concat import make_source
from icefall_discrete.tokenizers.multi_view import resampled

BLANK = 0
# Frames of a teacher are kept in half the size of what they are computed in: cosines do not see it.
KEPT_AS = torch.float16
BYTES_KEPT = 2


class Lessons(NamedTuple):
    """What is known of each utterance of a pool; an empty list where nothing is to be learnt of its kind.

    frames: teacher's (T, D), at `frame_rate_hz`. labels: letters (U,) int64 from 1, none for an utterance without text.
    alphabet: the letters, in the order of their numbers.
    """

    frames: Sequence[Tensor] = ()
    frame_rate_hz: float = 0.0
    labels: Sequence[Tensor] = ()
    alphabet: str = ""

    @property
    def sizes(self) -> "LessonSizes":
        """Sizes of the heads that learn them."""
        return LessonSizes(self.frames[0].shape[1] if self.frames else 0, 1 + len(self.alphabet) if self.labels else 0)

    def digests(self) -> Dict[str, str]:
        """What a training depends on of them, by name; nothing where there is none."""
        found = {}
        if self.frames:
            found["teacher"] = _digest(self.frames)
        if self.labels:
            found["texts"] = hashlib.sha256(self.alphabet.encode() + _digest(self.labels).encode()).hexdigest()
        return found


class LessonSizes(NamedTuple):
    """Dimensions of the teacher's frames, and letters with the blank; 0: there is no such head."""

    teacher_dim: int = 0
    num_letters: int = 0


NOTHING = Lessons()


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for one in tensors:
        digest.update(str(tuple(one.shape)).encode() + one.numpy().tobytes())
    return digest.hexdigest()


class Teacher:
    """A frame source whose frames are distilled.

    Args:
      settings: {"kind": NAME, its settings}. sample_rate_hz: of the audio that it will be given.
    """

    def __init__(self, settings: Mapping[str, Any], sample_rate_hz: int) -> None:
        self.source: FrameSource = make_source(settings)
        self._rate_hz = sample_rate_hz

    def frames(self, samples: Tensor) -> Optional[Tensor]:
        """Frames (T, D) of one utterance (S,), as they are kept; None if it is too short for one."""
        heard = resampled(samples, self._rate_hz, self.source.sample_rate_hz)
        if len(heard) < self.source.min_samples:
            return None
        return self.source.frames(heard).to("cpu", KEPT_AS)


def portable(settings: Any) -> Any:
    """Settings of a teacher as they read on every machine: of a path to a model, its name."""
    if isinstance(settings, Mapping):
        return {key: value if key == KIND else portable(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [portable(value) for value in settings]
    return portable_name(settings) if isinstance(settings, str) else settings


def with_letters(lessons: Lessons, names: Sequence[str], texts: Mapping[str, str], feature_type: str) -> Lessons:
    """The lessons with the letters of the utterances' texts, by their names.

    Raises:
      ValueError: if none of them has a text.
    """
    found = [texts.get(name, "").strip() for name in names]
    alphabet = "".join(sorted(set("".join(found))))
    if not alphabet:
        raise ValueError(
            f"{feature_type}: transcript_weight is above 0, but none of {len(names)} utterances has a text; set it to "
            "0, or give manifests with transcripts."
        )
    numbers = {letter: number for number, letter in enumerate(alphabet, start=BLANK + 1)}
    labels = [torch.tensor([numbers[letter] for letter in text], dtype=torch.int64) for text in found]
    return lessons._replace(labels=labels, alphabet=alphabet)


def frames_for_letters(labels: Tensor) -> int:
    """Frames that CTC needs at least for letters (U,): one each, and a blank between equal neighbours."""
    return len(labels) + sum(one == other for one, other in itertools.pairwise(labels.tolist()))


class Readable(NamedTuple):
    """The utterances that can be read letter by letter, and how many cannot: none, too long, too fast."""

    utterances: Tensor
    left_out: Dict[str, int]


def readable(lessons: Lessons, lens: Tensor, frame_samples: int, longest: int) -> Readable:
    """Those with letters, of at most `longest` samples, in enough frames of `frame_samples`; lens (N,) in samples."""
    left_out = {"no text": 0, "too long": 0, "more letters than frames": 0}
    kept: List[int] = []
    for utterance, (labels, length) in enumerate(zip(lessons.labels, lens.tolist())):
        if not len(labels):
            left_out["no text"] += 1
        elif length > longest:
            left_out["too long"] += 1
        elif frames_for_letters(labels) > -(-length // frame_samples):
            left_out["more letters than frames"] += 1
        else:
            kept.append(utterance)
    return Readable(torch.tensor(kept, dtype=torch.int64), {why: count for why, count in left_out.items() if count})
