"""Encode batches of cuts with a tokenizer, in this process or in several, always in order and always alike."""

import collections
import contextlib
import dataclasses
import functools
import multiprocessing
import os
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
)

import numpy as np
import torch
from lhotse import MonoCut
from torch import Tensor

from icefall_discrete.audio.reading import UnreadableAudio, load_samples
from icefall_discrete.base.device import resolve
from icefall_discrete.data.cuts import language_of, storage_dtype
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.tokenizers.composed.quantized import QuantizedFrames
from icefall_discrete.tokenizers.contract import SpeechTokenizer

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
UNREADABLE = "unreadable_audio"
Result = TypeVar("Result")
BATCHES_AHEAD = 3  # batches that wait for each worker


class Dropped(NamedTuple):
    """A cut that could not be encoded: the reason to count it by, and the sentence that names it."""

    reason: str
    message: str


class TimedCodes(NamedTuple):
    """Codes (T, K) of a variable rate, and the durations (U, 1) of their units in frames of the highest rate."""

    codes: np.ndarray
    durations: np.ndarray


Outcome = Union[np.ndarray, TimedCodes, Dropped]


@dataclasses.dataclass(frozen=True)
class EncodedBatch:
    """The batch's index, for each cut its array (T, K) or why it was dropped, and the seconds that it took."""

    index: int
    outcomes: List[Outcome]
    encode_sec: float


Job = Tuple[int, List[MonoCut]]


def placed(make_tokenizer: Callable[[], Any], device: str, dtype: str) -> Any:
    """Make a tokenizer and put it on `device` in `dtype`.

    "auto" is the CPU for a tokenizer without a network that could run elsewhere; see base/device.py.
    """
    tokenizer = make_tokenizer()
    tokenizer.to(str(resolve(device, "the tokenizer", not tokenizer.why_not_elsewhere())), dtype)
    return tokenizer


def check_languages(cuts: Sequence[MonoCut], tokenizer: Any) -> None:
    """Raise ValueError, naming the cut, if it has no language, or none that the tokenizer knows, and that needs one."""
    known: Set[Optional[str]] = set()
    for cut in cuts if tokenizer.needs_language else ():
        language = language_of(cut)
        if language not in known:
            try:
                tokenizer.in_language(language)
            except ValueError as error:
                raise ValueError(f"cut {cut.id}: {error}") from None
            known.add(language)


class Encoder:
    """Encodes batches with one tokenizer; random numbers depend on the seed and the batch, never on the process."""

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self._tokenizer = tokenizer
        self._seed = seed
        self._dtype = storage_dtype(tokenizer.spec)
        self._in_language: Dict[Optional[str], Any] = {}

    def __call__(self, index: int, cuts: Sequence[MonoCut]) -> EncodedBatch:
        """Encode the cuts of batch number `index`."""
        start = time.perf_counter()
        # float32 on a device is float32, not TF32, and the same whenever it is asked.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), exact:
            torch.manual_seed(derived_seed(self._seed, index))
            outcomes = [self._encode(cut) for cut in cuts]
        return EncodedBatch(index, outcomes, time.perf_counter() - start)

    def _tokenizer_of(self, cut: MonoCut) -> Any:
        """The tokenizer for the cut's language; the same one whatever that is, unless codes depend on it."""
        language = language_of(cut) if self._tokenizer.needs_language else None
        if language not in self._in_language:
            self._in_language[language] = self._tokenizer.in_language(language)
        return self._in_language[language]

    def _encode(self, cut: MonoCut) -> Outcome:
        try:
            samples = load_samples(cut, self._tokenizer.sample_rate_hz)
        except UnreadableAudio as error:
            return Dropped(UNREADABLE, str(error))
        try:
            encoded = self._tokenizer_of(cut).encode_with_durations(
                samples.unsqueeze(0), torch.tensor([len(samples)]), [f"cut {cut.id}"]
            )
        except ValueError as error:
            reason = getattr(error, "reason", None)
            if reason is None:  # not the audio's fault
                raise
            return Dropped(reason, str(error))
        frames = encoded.frames[0, : int(encoded.lens[0])].cpu().numpy().astype(self._dtype)
        if encoded.durations is None:
            return frames
        durations = encoded.durations[0].unsqueeze(1).numpy()
        dtype = "int16" if durations.max() <= np.iinfo(np.int16).max else "int32"
        return TimedCodes(frames, durations.astype(dtype))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One computing thread for this process and those it starts: sums then never depend on the number of threads."""
    threads = torch.get_num_threads()
    variables = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_WORK: Optional[Callable[..., Any]] = None  # what a worker does, with the network that it holds


def _end_with_parent() -> None:
    # A parent that was killed cannot end its workers, and they would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _start_worker(make_work: Callable[[], Callable[..., Any]]) -> None:
    global _WORK
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _WORK = make_work()


def _do_work(*arguments: Any) -> Any:
    assert _WORK is not None, "the worker was not started by _start_worker"
    return _WORK(*arguments)


def _encoder(make_tokenizer: Callable[[], Any], seed: int) -> Encoder:
    return Encoder(make_tokenizer(), seed)


def encode_in_order(
    jobs: Iterable[Job], tokenizer: Any, make_tokenizer: Callable[[], Any], num_jobs: int, seed: int
) -> Iterator[EncodedBatch]:
    """Yield the encoded batches in the order of `jobs`, pairs of batch index and cuts.

    Args:
      jobs: what to encode. tokenizer: used in this process if `num_jobs` is 1.
      make_tokenizer: makes the tokenizer in a worker; picklable, such as a functools.partial of load_tokenizer.
      num_jobs: number of processes. seed: of the tokenizer's random numbers, if it draws any.
    Raises:
      RuntimeError: if a worker dies.
    """
    with one_thread():
        if num_jobs == 1:
            encoder = Encoder(tokenizer, seed)
            for index, cuts in jobs:
                yield encoder(index, cuts)
            return
        yield from _in_processes(functools.partial(_encoder, make_tokenizer, seed), jobs, num_jobs)


def _in_processes(
    make_work: Callable[[], Callable[..., Result]], calls: Iterable[Tuple[Any, ...]], num_jobs: int
) -> Iterator[Result]:
    """What the work gives for the arguments in `calls`, in their order, by processes that each make it once."""
    # Spawned, not forked: forking a process whose libraries have started threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_jobs, context, initializer=_start_worker, initargs=(make_work,))
    try:
        pending: Deque[Future[Result]] = collections.deque()
        for call in calls:
            pending.append(pool.submit(_do_work, *call))
            if len(pending) >= BATCHES_AHEAD * num_jobs:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise RuntimeError(
            "an extraction process died, perhaps for lack of memory; what is finished is kept: rerun with a smaller nj."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _frames_of_arrays(make_tokenizer: Callable[[], QuantizedFrames]) -> Callable[[np.ndarray], np.ndarray]:
    frames = make_tokenizer().frames
    return lambda samples: frames(torch.from_numpy(samples)).numpy()


def share_frames(tokenizer: SpeechTokenizer, make_tokenizer: Callable[[], Any], num_jobs: int) -> None:
    """Let `num_jobs` processes compute the frames that `tokenizer` is fitted on, where these are a source's on the CPU.

    Each computes with one thread, as extraction does. `make_tokenizer` is as for `encode_in_order`.
    """
    if num_jobs == 1 or not isinstance(tokenizer, QuantizedFrames) or tokenizer.source.placement.device.type != "cpu":
        return

    def shared(samples: Iterable[Tensor]) -> Iterator[Tensor]:
        calls = ((one.numpy(),) for one in samples)
        with one_thread():
            for frames in _in_processes(functools.partial(_frames_of_arrays, make_tokenizer), calls, num_jobs):
                yield torch.from_numpy(frames)

    tokenizer.compute_frames = shared
