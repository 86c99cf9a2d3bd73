"""Streams of many clients: the protocol of sherpa-onnx's online server, chunks of all of them recognised together.

A client sends float32 samples in binary messages, and the text Done at the end. It is told the text of its utterance
whenever that changes, as JSON (`Update.to_json`), and Done! when all is said.
"""

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple

from torch import Tensor

from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.serving.callers import END, Caller, Refused, float_samples, refuse_text
from icefall_discrete.inference.serving.limits import Deadline
from icefall_discrete.inference.serving.settings import BatchConfig, ServerConfig
from icefall_discrete.inference.streaming.transcriber import AudioStream, StreamingTranscriber
from icefall_discrete.inference.streaming.updates import Update
from icefall_discrete.tokenizers.contract import AudioRejected

LOG = logging.getLogger(__name__)
OVER = "Done!"
# Utterances that a client has not read yet, with which it is let go.
_MOST_UNREAD = 1000


class _Client:
    """A stream between what its client sent and what it is told."""

    def __init__(self, stream: AudioStream) -> None:
        self.stream = stream
        self.pending: Deque[Tuple[Tensor, float]] = deque()  # samples, and when they came
        self.num_pending, self.num_received = 0, 0
        self.is_ended, self._end_is_taken = False, False
        self.room, self.news = asyncio.Event(), asyncio.Event()
        self.unread: List[Update] = []
        self.error: Optional[str] = None
        self._said: Optional[Update] = None

    def push(self, samples: Tensor) -> None:
        """Take samples from the client."""
        self.pending.append((samples, time.monotonic()))
        self.num_pending += len(samples)
        self.num_received += len(samples)

    @property
    def has_work(self) -> bool:
        """Whether there is something to compute."""
        ends = self.is_ended and not self._end_is_taken
        return self.error is None and (bool(self.pending) or ends or self.stream.is_ready)

    def take(self) -> "_Work":
        """What to compute next: samples, unless there is a chunk of earlier ones."""
        work = _Work(self, (), False)
        if not self.stream.is_ready:
            ends = self.is_ended and not self._end_is_taken
            work = _Work(self, tuple(self.pending), ends)
            self._end_is_taken = self._end_is_taken or ends
            self.pending.clear()
            self.num_pending = 0
            self.room.set()
        return work

    def tell(self, update: Update) -> None:
        """Queue what is new for the client; of an unfinished utterance only the last counts."""
        before = self._said
        is_news = before is None or update.segment != before.segment or update.text != before.text
        if not (update.is_eof or (update.text and (is_news or update.is_final))):
            return
        if self.unread and not self.unread[-1].is_final:
            self.unread.pop()
        self.unread.append(update)
        self._said = update
        if len(self.unread) > _MOST_UNREAD:
            self.fail(f"{len(self.unread)} utterances wait to be read, so this connection ends.")
        self.news.set()

    def fail(self, reason: str) -> None:
        """Queue why its stream cannot go on; nothing more of it is computed, so nobody is to wait for room."""
        self.error = reason
        self.news.set()
        self.room.set()


class _Work:
    """What one step does for a client, and what came of it."""

    def __init__(self, client: _Client, samples: Sequence[Tuple[Tensor, float]], ends: bool) -> None:
        self.client, self.samples, self.ends = client, samples, ends
        self.update: Optional[Update] = None
        self.error: Optional[str] = None

    def feed(self) -> None:
        """Give the stream its samples; bad ones are noted."""
        stream = self.client.stream
        try:
            for samples, arrived in self.samples:
                stream.accept(samples, arrived)
            if self.ends:
                stream.finish()
        except (BadAudio, AudioRejected) as error:
            self.error = str(error)


class StreamService:
    """Serves streams. Args: transcriber: does the work, in one thread. batching: streams of a step."""

    def __init__(self, transcriber: StreamingTranscriber, config: ServerConfig, batching: BatchConfig) -> None:
        self._transcriber, self._config, self._batching = transcriber, config, batching
        self._clients: Dict[str, _Client] = {}
        self._work = asyncio.Event()

    @property
    def facts(self) -> Dict[str, Any]:
        """What the page wants to know."""
        return {"protocol": "streaming", "sample_rate": self._transcriber.sample_rate_hz}

    async def run(self) -> None:
        """Recognise what clients send, until this is cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "streams") as pool:
            while True:
                clients = [client for client in self._clients.values() if client.has_work]
                if not clients:
                    self._work.clear()
                    await self._work.wait()
                    continue
                batch = [client.take() for client in clients[: self._batching.max_batch_size]]
                self._to_the_end([work.client for work in batch])
                try:
                    await loop.run_in_executor(pool, self._step, batch)
                except Exception as error:  # whatever it is, others are to be served
                    LOG.exception("a step of %d streams failed", len(batch))
                    for work in batch:
                        work.error = work.error or f"{work.client.stream.name}: could not be recognised: {error}"
                for work in batch:
                    if work.error is not None:
                        work.client.fail(work.error)
                    elif work.update is not None:
                        work.client.tell(work.update)

    def _to_the_end(self, clients: Sequence[_Client]) -> None:
        """Let others come first next time."""
        for client in clients:
            name = client.stream.name
            if self._clients.get(name) is client:
                self._clients[name] = self._clients.pop(name)

    def _step(self, batch: Sequence[_Work]) -> None:
        for work in batch:
            work.feed()
        fed = {id(work.client.stream): work for work in batch if work.error is None}
        for stream, update in self._transcriber.advance([work.client.stream for work in fed.values()]):
            fed[id(stream)].update = update

    async def serve(self, caller: Caller) -> None:
        """Serve one client from its first message to its last."""
        client = _Client(self._transcriber.open(caller.name))
        self._clients[caller.name] = client
        talking = asyncio.create_task(self._tell(caller, client))
        try:
            await self._listen(caller, client)
            await talking
        finally:
            del self._clients[caller.name]
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    async def _listen(self, caller: Caller, client: _Client) -> None:
        rate, config = self._transcriber.sample_rate_hz, self._config
        longest = config.max_stream_sec
        deadline = Deadline(longest, f"a stream lasts {longest:g} s at most; begin another.")
        while (message := await caller.receive(deadline)) != END:
            if isinstance(message, str):
                raise refuse_text(message)
            client.push(float_samples(message))
            if client.num_received > longest * rate:
                raise Refused(deadline.reason)
            self._work.set()
            while client.error is None and client.num_pending > config.max_buffered_sec * rate:
                client.room.clear()
                await client.room.wait()
            if client.error is not None:
                return
        client.is_ended = True
        self._work.set()

    async def _tell(self, caller: Caller, client: _Client) -> None:
        """Tell a client what is new, to the end; of one that does not read nothing more is computed."""
        try:
            await self._tell_all(caller, client)
        except Refused as refused:
            client.fail(str(refused))
            raise

    async def _tell_all(self, caller: Caller, client: _Client) -> None:
        while True:
            await client.news.wait()
            client.news.clear()
            news, client.unread = client.unread, []
            for update in news:
                await caller.say(update.to_json())
            if client.error is not None:
                await caller.refuse(client.error)
                return
            if news and news[-1].is_eof:
                await caller.say_text(OVER)
                return
