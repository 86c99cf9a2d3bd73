"""Batches of cuts to codes by one tokenizer in one process: utterance by utterance, or several through it at once.

Letters: N utterances, S samples, T frames, K codebooks, U runs of equal units.
"""

import collections
import dataclasses
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from lhotse import MonoCut
from torch import Tensor

from icefall_discrete.audio.reading import UnreadableAudio, load_samples
from icefall_discrete.data.cuts import language_of, storage_dtype
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.tokenizers.contract import check_output

UNREADABLE = "unreadable_audio"
READERS = 4  # threads that read audio while the batch before is encoded; most formats are decoded outside Python's lock
BATCHES_READ_AHEAD = 2


class Dropped(NamedTuple):
    """A cut that could not be encoded: the reason to count it by, and the sentence that names it."""

    reason: str
    message: str


class TimedCodes(NamedTuple):
    """Codes (T, K) of a variable rate, and the durations (U, 1) of their units in frames of the highest rate."""

    codes: np.ndarray
    durations: np.ndarray


class Flips(NamedTuple):
    """Of how many codes it was seen whether company changed them, and how many it did change."""

    checked: int = 0
    flipped: int = 0

    def plus(self, other: "Flips") -> "Flips":
        """Both together."""
        return Flips(self.checked + other.checked, self.flipped + other.flipped)


Outcome = Union[np.ndarray, TimedCodes, Dropped]
Heard = Union[Tensor, Dropped]
Job = Tuple[int, List[MonoCut]]


@dataclasses.dataclass(frozen=True)
class EncodedBatch:
    """The batch's index, for each cut its array (T, K) or why it was dropped, the seconds that it took, and flips."""

    index: int
    outcomes: List[Outcome]
    encode_sec: float
    flips: Flips


class Encoder:
    """Encodes batches with one tokenizer; random numbers depend on the seed and the batch, never on the process."""

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self._tokenizer = tokenizer
        self._seed = seed
        self._dtype = storage_dtype(tokenizer.spec)
        self._in_language: Dict[Optional[str], Any] = {}

    def __call__(self, index: int, cuts: Sequence[MonoCut]) -> EncodedBatch:
        """Encode the cuts of batch number `index`."""
        return self.encode(index, cuts, (self.hear(cut) for cut in cuts))

    def in_order(self, jobs: Iterable[Job]) -> Iterator[EncodedBatch]:
        """The encoded batches of `jobs`, one after the other."""
        for index, cuts in jobs:
            yield self(index, cuts)

    def encode(self, index: int, cuts: Sequence[MonoCut], heard: Iterable[Heard]) -> EncodedBatch:
        """Encode the cuts of batch number `index`, whose audio is `heard`."""
        start = time.perf_counter()
        # float32 on a device is float32, not TF32, and the same whenever it is asked.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), exact:
            torch.manual_seed(derived_seed(self._seed, index))
            outcomes, flips = self._outcomes(cuts, heard)
        return EncodedBatch(index, outcomes, time.perf_counter() - start, flips)

    def hear(self, cut: MonoCut) -> Heard:
        """The samples (S,) of a cut, or why it cannot be read."""
        try:
            return load_samples(cut, self._tokenizer.sample_rate_hz)
        except UnreadableAudio as error:
            return Dropped(UNREADABLE, str(error))

    def _outcomes(self, cuts: Sequence[MonoCut], heard: Iterable[Heard]) -> Tuple[List[Outcome], Flips]:
        return [self._encode(cut, one) for cut, one in zip(cuts, heard)], Flips()

    def _tokenizer_of(self, cut: MonoCut) -> Any:
        """The tokenizer for the cut's language; the same one whatever that is, unless codes depend on it."""
        language = language_of(cut) if self._tokenizer.needs_language else None
        if language not in self._in_language:
            self._in_language[language] = self._tokenizer.in_language(language)
        return self._in_language[language]

    def _encode(self, cut: MonoCut, samples: Heard) -> Outcome:
        if isinstance(samples, Dropped):
            return samples
        try:
            encoded = self._tokenizer_of(cut).encode_with_durations(
                samples.unsqueeze(0), torch.tensor([len(samples)]), [f"cut {cut.id}"]
            )
        except ValueError as error:
            return _why_dropped(error)
        frames = encoded.frames[0, : int(encoded.lens[0])].cpu().numpy().astype(self._dtype)
        if encoded.durations is None:
            return frames
        durations = encoded.durations[0].unsqueeze(1).numpy()
        dtype = "int16" if durations.max() <= np.iinfo(np.int16).max else "int32"
        return TimedCodes(frames, durations.astype(dtype))


class TogetherEncoder(Encoder):
    """Encodes utterances of like lengths side by side, and of each batch one alone too, to see what that changes.

    That is the one with most padding. What goes together depends on the batch alone, so that codes of a run that
    was killed are those of one that was not, with any number of processes.
    """

    def __init__(self, tokenizer: Any, seed: int, batch_duration: float) -> None:
        """`batch_duration`: seconds of padded audio that go through the network at once, at most, but for one."""
        super().__init__(tokenizer, seed)
        self._most = batch_duration * tokenizer.sample_rate_hz

    def in_order(self, jobs: Iterable[Job]) -> Iterator[EncodedBatch]:
        """See Encoder; audio is read by threads while the batch before is encoded."""
        pending: Deque[Tuple[int, List[MonoCut], List[Future[Heard]]]] = collections.deque()
        with ThreadPoolExecutor(READERS) as pool:
            for index, cuts in jobs:
                pending.append((index, cuts, [pool.submit(self.hear, cut) for cut in cuts]))
                if len(pending) > BATCHES_READ_AHEAD:
                    yield self._encode_read(*pending.popleft())
            while pending:
                yield self._encode_read(*pending.popleft())

    def _encode_read(self, index: int, cuts: List[MonoCut], reading: List["Future[Heard]"]) -> EncodedBatch:
        return self.encode(index, cuts, (one.result() for one in reading))

    def hear(self, cut: MonoCut) -> Heard:
        """See Encoder; nor what the tokenizer cannot take."""
        samples = super().hear(cut)
        if isinstance(samples, Dropped):
            return samples
        try:
            self._tokenizer.check_audio(samples, f"cut {cut.id}")
        except ValueError as error:
            return _why_dropped(error)
        self._tokenizer.warn_if_loud(samples, f"cut {cut.id}")
        return samples

    def _outcomes(self, cuts: Sequence[MonoCut], heard: Iterable[Heard]) -> Tuple[List[Outcome], Flips]:
        audio: Dict[int, Tensor] = {}
        outcomes: Dict[int, Outcome] = {}
        for row, one in enumerate(heard):
            if isinstance(one, Dropped):
                outcomes[row] = one
            else:
                audio[row] = one
        packs = self._packs({row: len(samples) for row, samples in audio.items()}, cuts)
        for tokenizer, rows in packs:
            for row, codes in zip(rows, tokenizer.encode_together([audio[row] for row in rows])):
                check_output(codes, tokenizer.spec, len(audio[row]), f"cut {cuts[row].id}")
                outcomes[row] = codes.numpy().astype(self._dtype)
        return [outcomes[row] for row in range(len(cuts))], self._flips(cuts, audio, outcomes, packs)

    def _packs(self, lens: Dict[int, int], cuts: Sequence[MonoCut]) -> List[Tuple[Any, List[int]]]:
        """Rows that go together, by ascending length, and their tokenizer."""
        by_tokenizer: Dict[int, Tuple[Any, List[int]]] = {}
        for row in sorted(lens, key=lambda row: (lens[row], row)):
            tokenizer = self._tokenizer_of(cuts[row])
            by_tokenizer.setdefault(id(tokenizer), (tokenizer, []))[1].append(row)
        packs: List[Tuple[Any, List[int]]] = []
        for tokenizer, rows in by_tokenizer.values():
            pack: List[int] = []
            for row in rows:
                if pack and (len(pack) + 1) * lens[row] > self._most:
                    packs.append((tokenizer, pack))
                    pack = []
                pack.append(row)
            packs.append((tokenizer, pack))
        return packs

    def _flips(
        self,
        cuts: Sequence[MonoCut],
        audio: Dict[int, Tensor],
        outcomes: Dict[int, Outcome],
        packs: List[Tuple[Any, List[int]]],
    ) -> Flips:
        shared = [rows for _, rows in packs if len(rows) > 1]
        if not shared:
            return Flips()
        row = max(shared, key=lambda rows: len(audio[rows[-1]]) / len(audio[rows[0]]))[0]
        alone, together = self._encode(cuts[row], audio[row]), outcomes[row]
        assert isinstance(alone, np.ndarray) and isinstance(together, np.ndarray), "checked before"
        return Flips(alone.size, int((alone != together).sum()))


def _why_dropped(error: ValueError) -> Dropped:
    """The cut's outcome by what was raised of it; `error` itself if it is not the audio's fault."""
    reason = getattr(error, "reason", None)
    if reason is None:
        raise error
    return Dropped(reason, str(error))


def encoder_of(tokenizer: Any, seed: int, batch_duration: float) -> Encoder:
    """The encoder of utterances one by one, or with `batch_duration` above 0 of several at once."""
    return TogetherEncoder(tokenizer, seed, batch_duration) if batch_duration else Encoder(tokenizer, seed)
