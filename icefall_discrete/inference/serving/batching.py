"""Whole utterances of many clients, recognised in batches by one Transcriber, in bounded memory."""

import concurrent.futures
import logging
import threading
import time
from collections import deque
from typing import Deque, List, NamedTuple, Optional, Type

from torch import Tensor

from icefall_discrete.inference.serving.settings import BatchConfig
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.transcription import Outcome

LOG = logging.getLogger(__name__)


class Busy(RuntimeError):
    """There is no room for a request; the message says what waits."""


class _Request(NamedTuple):
    samples: Tensor
    name: str
    future: "concurrent.futures.Future[Outcome]"


class BatchingTranscriber:
    """Recognises what many threads ask for, in batches: a request gets what it would get alone.

    with BatchingTranscriber(Transcriber("exp/mfcc_km500_default")) as batching:
        future = batching.submit(samples, "call 17")  # from any thread
        print(future.result().text)

    Args:
      transcriber: does the work, in a thread of this object's own. config: batches, and how much may wait.
    """

    def __init__(self, transcriber: Transcriber, config: Optional[BatchConfig] = None) -> None:
        self.config = config or BatchConfig()
        self.sample_rate_hz = transcriber.spec.sample_rate_hz
        self._transcriber = transcriber
        self._waiting: Deque[_Request] = deque()
        self._reserved_sec = 0.0
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="batching", daemon=True)
        self._thread.start()

    def __enter__(self) -> "BatchingTranscriber":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer what waits, then end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def reserve(self, seconds: float) -> None:
        """Make room for so much audio that is about to come; `release` gives it back. Raises Busy if there is none."""
        with self._changed:
            if self._reserved_sec + seconds > self.config.max_queued_sec:
                raise Busy(
                    f"the server is busy: {self._reserved_sec:.0f} s of audio wait, and {seconds:.0f} s more are above "
                    f"its {self.config.max_queued_sec:g} s; send it again later."
                )
            self._reserved_sec += seconds

    def has_room(self, seconds: float, freed: float) -> bool:
        """Whether there would be room for so much audio if `freed` seconds were given back."""
        with self._changed:
            return self._reserved_sec - freed + seconds <= self.config.max_queued_sec

    def release(self, seconds: float) -> None:
        """Give back what `reserve` took."""
        with self._changed:
            self._reserved_sec -= seconds

    def submit(self, samples: Tensor, name: str) -> "concurrent.futures.Future[Outcome]":
        """Ask for the text of samples (S,) at `sample_rate_hz`; the future gives a Transcription or a Failure.

        Raises:
          Busy: if too much waits already; nothing was taken then.
        """
        seconds = len(samples) / self.sample_rate_hz
        self.reserve(seconds)
        try:
            future = self.submit_reserved(samples, name)
        except Busy:
            self.release(seconds)
            raise
        future.add_done_callback(lambda done: self.release(seconds))
        return future

    def submit_reserved(self, samples: Tensor, name: str) -> "concurrent.futures.Future[Outcome]":
        """`submit` for samples that room was made for already, which the caller gives back."""
        future: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
        with self._changed:
            if self._is_closed:
                raise Busy("the server is stopping.")
            if len(self._waiting) >= self.config.max_queue_size:
                raise Busy(f"the server is busy: {len(self._waiting)} requests wait; send it again later.")
            self._waiting.append(_Request(samples, name, future))
            self._changed.notify_all()
        return future

    def _work(self) -> None:
        while batch := self._next_batch():
            wanted = [request for request in batch if request.future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            names = [request.name for request in wanted]
            try:
                outcomes = list(self._transcriber.transcribe([request.samples for request in wanted], names=names))
            except Exception as error:  # whatever it is, others are to be served
                LOG.exception("a batch could not be recognised")
                for request in wanted:
                    request.future.set_exception(RuntimeError(f"{request.name}: could not be recognised: {error}"))
                continue
            for request, outcome in zip(wanted, outcomes):
                request.future.set_result(outcome)

    def _next_batch(self) -> List[_Request]:
        """The next requests, some of which may have waited for others; none when all is done."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            until = time.monotonic() + self.config.max_wait_ms / 1000
            while len(self._waiting) < self.config.max_batch_size and not self._is_closed:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            size = min(len(self._waiting), self.config.max_batch_size)
            return [self._waiting.popleft() for _ in range(size)]
