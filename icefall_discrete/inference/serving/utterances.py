"""Whole utterances of many clients: the protocol of sherpa-onnx's offline server.

A client sends, for each utterance, 8 bytes, its sample rate and its size in bytes (int32, little-endian), and that many
bytes of float32 samples, in as many binary messages as it likes. It gets a JSON object for each, and sends the text
Done when it wants no more.
"""

import asyncio
import struct
from typing import Any, Dict, NamedTuple, Tuple

import torch
from torch import Tensor

from icefall_discrete.audio.resampling import Resampler
from icefall_discrete.inference.serving.batching import BatchingTranscriber, Busy
from icefall_discrete.inference.serving.callers import END, SAMPLE_BYTES, Caller, Refused, float_samples, refuse_text
from icefall_discrete.inference.serving.limits import Deadline
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


class UtteranceService:
    """Serves whole utterances. Args: batching: does the work. config: what a client may send."""

    def __init__(self, batching: BatchingTranscriber, config: ServerConfig) -> None:
        self._batching, self._config = batching, config

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
            announced = self._announced(message)
            name = f"{caller.name}, utterance {number}"
            try:
                self._batching.reserve(announced.seconds)
            except Busy as busy:
                await self._received(caller, announced, message, keep=False)
                await caller.say({"error": str(busy)})
                continue
            try:
                samples = await self._received(caller, announced, message, keep=True)
                await caller.say(await self._answer(samples, announced.rate_hz, name))
            finally:
                self._batching.release(announced.seconds)
            number += 1

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

    async def _received(self, caller: Caller, announced: _Announced, first: bytes, keep: bool) -> Tensor:
        """The samples announced, the beginning of which came with the header; without `keep` they are dropped."""
        data, received = bytearray(), 0
        longest = self._config.max_sending_sec
        deadline = Deadline(longest, f"an utterance must have come within {longest:g} s; send it again, faster.")
        message: Any = first[HEADER.size :]
        while True:
            received += len(message)
            if received > announced.num_bytes:
                raise Refused(f"{received} bytes of samples came, but {announced.num_bytes} were announced.")
            if keep:
                data += message
            if received == announced.num_bytes:
                return float_samples(data)
            message = await caller.receive(deadline)
            if isinstance(message, str):
                raise Refused(f"{received} of {announced.num_bytes} bytes came; the rest is missing.")

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
