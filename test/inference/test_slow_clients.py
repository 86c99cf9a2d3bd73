"""Clients that take their time: whoever sends, reads or says nothing for long holds up nobody else."""

import asyncio
import dataclasses
import functools
import socket
import time

import pytest
import torch
from toy_server import ask, client, running, stream_to, utterance_bytes
from toy_streaming import said_in

from icefall_discrete.inference.serving import server as server_module
from icefall_discrete.inference.serving.batching import BatchingTranscriber
from icefall_discrete.inference.serving.settings import BatchConfig, ServerConfig
from icefall_discrete.inference.serving.streams import StreamService
from icefall_discrete.inference.serving.utterances import UtteranceService

SMALL = ServerConfig(port=0, max_message_size=1 << 16, max_buffered_sec=0.2, max_lag_sec=0.1)
PATIENCE_SEC = 25  # less than SMALL's own for what is sent


def until(look):
    """The first true value of `look()`."""
    end = time.monotonic() + PATIENCE_SEC
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_who_waits_for_a_busy_server_is_not_taken_for_gone(streaming, samples, monkeypatch):
    expected, advance = said_in(streaming, samples)[-1].text, streaming.advance

    def slowly(streams):
        time.sleep(0.05)
        return advance(streams)

    monkeypatch.setattr(streaming, "advance", slowly)
    hasty = functools.partial(server_module.ws_server.serve, ping_interval=0.1, ping_timeout=0.1)
    monkeypatch.setattr(server_module.ws_server, "serve", hasty)
    with (
        running(lambda config: StreamService(streaming, config, BatchConfig()), SMALL) as port,
        client(port) as talking,
    ):
        assert stream_to(talking, samples, 4096)[-1]["text"] == expected


def test_an_utterance_that_comes_slowly_gives_its_room_to_others(transcriber, samples):
    expected, announced = transcriber.transcribe_samples(samples.numpy()).text, torch.zeros(40000)
    data = utterance_bytes(announced)
    with (
        BatchingTranscriber(transcriber, BatchConfig(max_queued_sec=3.0)) as batching,
        running(lambda config: UtteranceService(batching, config), SMALL) as port,
    ):
        with client(port) as slow, client(port) as fast:
            slow.send(data[:80])
            until(lambda: batching._reserved_sec > 0)
            num_sent = 80

            def said():
                nonlocal num_sent
                slow.send(data[num_sent : num_sent + 4])
                num_sent += 4
                return ask(fast, utterance_bytes(samples), 1 << 15).get("text")

            assert until(said) == expected
            assert batching._reserved_sec == 0.0
            refused = ask(slow, data[num_sent:], 1 << 15)["error"]
            assert refused.startswith("the server is busy: this utterance came slowly")
            assert ask(slow, utterance_bytes(samples), 1 << 15)["text"] == expected
        assert batching._reserved_sec == 0.0


def test_one_that_comes_fast_gives_way_to_nobody(transcriber, samples):
    with BatchingTranscriber(transcriber, BatchConfig(max_queued_sec=3.0)) as batching:
        config = ServerConfig(port=0, max_lag_sec=60.0)
        with (
            running(lambda config: UtteranceService(batching, config), config) as port,
            client(port) as first,
            client(port) as second,
        ):
            data = utterance_bytes(samples)
            first.send(data[:80])
            until(lambda: batching._reserved_sec > 0)
            assert "2 s of audio wait, and 2 s more are above its 3 s" in ask(second, data)["error"]
            assert ask(first, data[80:])["text"]


class _Deaf:
    """A connection whose client sends what is asked of it, but reads nothing."""

    def __init__(self, *messages):
        self._messages, self.transport, self.is_cut = list(messages), self, False

    async def recv(self):
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    async def send(self, message):
        await asyncio.Event().wait()

    async def close(self, code=1000, reason=""):
        await asyncio.Event().wait()

    def abort(self):
        self.is_cut = True


@pytest.mark.parametrize("ends", [False, True])
def test_who_does_not_read_is_let_go(streaming, transcriber, samples, ends):
    last, config = ("Done",) if ends else (), dataclasses.replace(SMALL, idle_timeout_sec=0.3)

    async def serve(service, connection):
        server = server_module.Server(service, config, "toy")
        working = asyncio.create_task(service.run())
        await asyncio.wait_for(server._handle(connection), PATIENCE_SEC)
        working.cancel()
        assert connection.is_cut and server.num_active == 0

    asyncio.run(serve(StreamService(streaming, config, BatchConfig()), _Deaf(samples.numpy().tobytes(), *last)))
    with BatchingTranscriber(transcriber) as batching:
        asyncio.run(serve(UtteranceService(batching, config), _Deaf(utterance_bytes(samples), *last)))
        assert batching._reserved_sec == 0.0


def test_connections_that_say_nothing_do_not_keep_others_out(streaming, samples, monkeypatch):
    monkeypatch.setattr(server_module, "_most_opening", lambda config: 4)
    with running(lambda config: StreamService(streaming, config, BatchConfig()), SMALL) as port:
        silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(8)]
        with client(port) as talking:
            assert [one.recv(1) for one in silent[:5]] == [b""] * 5  # the client was one too many as well, at first
            assert stream_to(talking, samples)[-1]["is_eof"]
        silent[-1].sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert silent[-1].recv(12) == b"HTTP/1.1 200"
        for one in silent:
            one.close()
