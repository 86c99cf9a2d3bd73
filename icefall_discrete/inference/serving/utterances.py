"""Whole utterances of many clients: the protocol of sherpa-onnx's offline server.

A client sends, for each utterance, 8 bytes, its sample rate and its size in bytes (int32, little-endian), and that many
bytes of float32 samples, in as many binary messages as it likes. It gets a JSON object for each, and sends the text
Done when it wants no more.
"""

import asyncio
import struct
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.audio.resampling import Resampler
from icefall_discrete.inference.serving.batching import BatchingTranscriber, Busy
from icefall_discrete.inference.serving.callers import END, SAMPLE_BYTES, Caller, Refused, float_samples, refuse_text
from icefall_discrete.inference.serving.limits import Clock, Deadline
from icefall_discrete.inference.serving.settings import ServerConfig
from icefall_discrete.systems.asr.transcription import Failure, Outcome

HEADER = struct.Struct("<ii")


class _Announced(NamedTuple):
    """An utterance that is on its way."""

    rate_hz: int
    num_bytes: int

    @property
    def seconds(self) -> float:
        return self.num_bytes / SAMPLE_BYTES / self.rate_hz


class _Incoming:
    """An utterance on its way: what came of it, and whether it holds room.

    Args:
      clock: seconds, growing.
    """

    def __init__(self, announced: _Announced, clock: Clock = time.monotonic) -> None:
        self.announced, self.data, self.num_bytes = announced, bytearray(), 0
        self.refusal: Optional[str] = None
        self._clock, self._counted_sec, self.last_sec = clock, 0, clock()

    def add(self, message: bytes) -> None:
        """Take a piece of it; without room nothing is kept."""
        self.num_bytes += len(message)
        if self.refusal is None:
            self.data += message
        whole_sec = int(self.num_bytes / SAMPLE_BYTES / self.announced.rate_hz)
        if whole_sec > self._counted_sec:
            self._counted_sec, self.last_sec = whole_sec, self._clock()

    def is_slow(self, longest_sec: float) -> bool:
        """Whether its last second of audio is not there after so long."""
        return self._clock() - self.last_sec > longest_sec

    def give_way(self, reason: str) -> None:
        """Keep nothing of it; its client is told why once all has come."""
        self.refusal, self.data = reason, bytearray()


class UtteranceService:
    """Serves whole utterances. Args: batching: does the work. config: what a client may send."""

    def __init__(self, batching: BatchingTranscriber, config: ServerConfig) -> None:
        self._batching, self._config = batching, config
        self._incoming: List[_Incoming] = []  # that hold room

    @property
    def facts(self) -> Dict[str, Any]:
        """What the page wants to know."""
        return {"protocol": "whole", "sample_rate": self._batching.sample_rate_hz}

    async def run(self) -> None:
        """Nothing: the work is done in a thread of its own."""
        await asyncio.Event().wait()

    async def serve(self, caller: Caller) -> None:
        """Serve one client, utterance by utterance."""
        number = 0
        while (message := await caller.receive()) != END:
            if isinstance(message, str):
                raise refuse_text(message)
            await caller.say(await self._answer_one(caller, message, f"{caller.name}, utterance {number}"))
            number += 1

    async def _answer_one(self, caller: Caller, first: bytes, name: str) -> Dict[str, Any]:
        """The answer to an utterance whose first message has come; the room that it held is free again."""
        incoming = _Incoming(self._announced(first))
        try:
            self._reserve(incoming)
        except Busy as busy:
            incoming.give_way(str(busy))
        try:
            await self._receive(caller, incoming, first[HEADER.size :])
        except BaseException:
            self._release(incoming)
            raise
        if incoming.refusal is not None:
            return {"error": incoming.refusal}
        self._incoming.remove(incoming)  # all of it is there: it gives way to nobody
        try:
            return await self._answer(float_samples(incoming.data), incoming.announced.rate_hz, name)
        finally:
            self._batching.release(incoming.announced.seconds)

    def _reserve(self, incoming: _Incoming) -> None:
        """Make room for an utterance; those that come slowly give way. Raises Busy if that is not enough."""
        while True:
            try:
                self._batching.reserve(incoming.announced.seconds)
                self._incoming.append(incoming)
                return
            except Busy:
                slow = [other for other in self._incoming if other.is_slow(self._config.max_lag_sec)]
                freed = sum(other.announced.seconds for other in slow)
                if not slow or not self._batching.has_room(incoming.announced.seconds, freed):
                    raise
            slowest = min(slow, key=lambda other: other.last_sec)
            self._release(slowest)
            slowest.give_way("the server is busy: this utterance came slowly, and others need its room; send it later.")

    def _release(self, incoming: _Incoming) -> None:
        """Give back the room that an utterance holds, if it does."""
        if incoming in self._incoming:
            self._incoming.remove(incoming)
            self._batching.release(incoming.announced.seconds)

    def _announced(self, message: bytes) -> _Announced:
        if len(message) < HEADER.size:
            raise Refused(
                f"{len(message)} bytes came; expected {HEADER.size} first, the sample rate and the size in bytes."
            )
        announced = _Announced(*HEADER.unpack_from(message))
        self._resampler_of(announced.rate_hz)
        if announced.num_bytes <= 0 or announced.num_bytes % SAMPLE_BYTES:
            raise Refused(
                f"an utterance of {announced.num_bytes} bytes is announced, which is no whole number of samples; "
                f"expected float32, {SAMPLE_BYTES} bytes each."
            )
        if announced.seconds > self._config.max_utterance_length:
            raise Refused(
                f"an utterance of {announced.seconds:.1f} s is announced, expected at most "
                f"{self._config.max_utterance_length:g} s."
            )
        return announced

    def _resampler_of(self, rate_hz: int) -> Resampler:
        try:
            return Resampler(rate_hz, self._batching.sample_rate_hz)
        except ValueError as error:
            raise Refused(str(error)) from None

    async def _receive(self, caller: Caller, incoming: _Incoming, message: bytes) -> None:
        """Take the samples announced, of which `message` is the beginning."""
        expected, longest = incoming.announced.num_bytes, self._config.max_sending_sec
        deadline = Deadline(longest, f"an utterance must have come within {longest:g} s; send it again, faster.")
        while True:
            incoming.add(message)
            if incoming.num_bytes > expected:
                raise Refused(f"{incoming.num_bytes} bytes of samples came, but {expected} were announced.")
            if incoming.num_bytes == expected:
                return
            received = await caller.receive(deadline)
            if isinstance(received, str):
                raise Refused(f"{incoming.num_bytes} of {expected} bytes came; the rest is missing.")
            message = received

    async def _answer(self, samples: Tensor, rate_hz: int, name: str) -> Dict[str, Any]:
        bad = int((~torch.isfinite(samples)).sum())
        if bad:
            return {"error": f"{name}: {bad} of {len(samples)} samples are NaN or infinite."}
        if rate_hz != self._batching.sample_rate_hz:
            samples = await asyncio.to_thread(self._resampler_of(rate_hz), samples)
        try:
            future = self._batching.submit_reserved(samples, name)
        except Busy as busy:
            return {"error": str(busy)}
        try:
            return said(await asyncio.wrap_future(future))
        except RuntimeError as error:
            return {"error": str(error)}


def said(outcome: Outcome) -> Dict[str, Any]:
    """What a client is told, under sherpa-onnx's names: text, tokens and their timestamps in seconds; or the error."""
    if isinstance(outcome, Failure):
        return {"error": outcome.message}
    tokens: Tuple[Any, ...] = outcome.tokens
    return {
        "lang": next((segment.language for segment in outcome.segments if segment.language), ""),
        "text": outcome.text,
        "timestamps": [round(token.start_sec, 3) for token in tokens],
        "tokens": [token.text for token in tokens],
        "words": [word.text for word in outcome.words],
        "duration": round(outcome.duration_sec, 3),
    }
