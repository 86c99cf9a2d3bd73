"""Encode batches of cuts with a tokenizer, in this process or in several, always in order and always alike."""

import collections
import contextlib
import functools
import multiprocessing
import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import (
    Any,
    Callable,
    Deque,
    Iterable,
    Iterator,
    Optional,
    Set,
    Tuple,
    TypeVar,
)

import numpy as np
import torch
from lhotse import MonoCut
from torch import Tensor

from icefall_discrete.base.device import resolve
from icefall_discrete.data.cuts import language_of
from icefall_discrete.extraction.encoding import EncodedBatch, Encoder, Job, encoder_of
from icefall_discrete.tokenizers.composed.quantized import QuantizedFrames
from icefall_discrete.tokenizers.contract import SpeechTokenizer

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Result = TypeVar("Result")
BATCHES_AHEAD = 3  # batches that wait for each worker


def placed(make_tokenizer: Callable[[], Any], device: str, dtype: str) -> Any:
    """Make a tokenizer and put it on `device` in `dtype`.

    "auto" is the CPU for a tokenizer without a network that could run elsewhere; see base/device.py.
    """
    tokenizer = make_tokenizer()
    tokenizer.to(str(resolve(device, "the tokenizer", not tokenizer.why_not_elsewhere())), dtype)
    return tokenizer


def check_language(cut: MonoCut, tokenizer: Any, known: Set[Optional[str]]) -> None:
    """Raise ValueError, naming the cut, if it has no language, or none that the tokenizer knows, and that needs one.

    Args:
      known: languages of cuts that were checked before; the cut's is added.
    """
    language = language_of(cut) if tokenizer.needs_language else None
    if not tokenizer.needs_language or language in known:
        return
    try:
        tokenizer.in_language(language)
    except ValueError as error:
        raise ValueError(f"cut {cut.id}: {error}") from None
    known.add(language)


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


def _encoder(make_tokenizer: Callable[[], Any], seed: int, batch_duration: float) -> Encoder:
    return encoder_of(make_tokenizer(), seed, batch_duration)


def encode_in_order(
    jobs: Iterable[Job],
    tokenizer: Any,
    make_tokenizer: Callable[[], Any],
    num_jobs: int,
    seed: int,
    batch_duration: float = 0.0,
) -> Iterator[EncodedBatch]:
    """Yield the encoded batches in the order of `jobs`, pairs of batch index and cuts.

    Args:
      jobs: what to encode. tokenizer: used in this process if `num_jobs` is 1.
      make_tokenizer: makes the tokenizer in a worker; picklable, such as a functools.partial of load_tokenizer.
      num_jobs: number of processes. seed: of the tokenizer's random numbers, if it draws any.
      batch_duration: seconds of padded audio that go through the network at once; 0: each utterance alone.
    Raises:
      RuntimeError: if a worker dies.
    """
    with one_thread():
        if num_jobs == 1:
            yield from encoder_of(tokenizer, seed, batch_duration).in_order(jobs)
            return
        make_encoder = functools.partial(_encoder, make_tokenizer, seed, batch_duration)
        yield from _in_processes(make_encoder, jobs, num_jobs)


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
