"""The server: many clients at once, their limits, what is sent wrong, and that it goes on after all of it."""

import asyncio
import contextlib
import dataclasses
import http.client
import json
import re
import struct
import threading
import time

import pytest
import torch
from toy_server import ask, client, running, stream_to, utterance_bytes
from toy_streaming import said_in
from websockets.exceptions import ConnectionClosed, InvalidStatus

from icefall_discrete.inference.serving import command as serve_command
from icefall_discrete.inference.serving.batching import BatchingTranscriber, Busy
from icefall_discrete.inference.serving.limits import Bucket
from icefall_discrete.inference.serving.server import Server
from icefall_discrete.inference.serving.settings import BatchConfig, ServerConfig
from icefall_discrete.inference.serving.streams import StreamService
from icefall_discrete.inference.serving.utterances import UtteranceService

SMALL = ServerConfig(
    port=0, max_active_connections=8, max_message_size=1 << 16, idle_timeout_sec=1.0, max_buffered_sec=0.2
)


@pytest.fixture(scope="module")
def expected(streaming, samples):
    return said_in(streaming, samples)[-1].text


@pytest.fixture(scope="module")
def port(streaming):
    with running(lambda config: StreamService(streaming, config, BatchConfig(max_batch_size=2)), SMALL) as port:
        yield port


def test_streams_of_several_clients_get_the_text_of_each_alone(port, samples, expected):
    found = {}

    def talk(size):
        with client(port) as socket:
            found[size] = stream_to(socket, samples, size)

    threads = [threading.Thread(target=talk, args=(size,)) for size in (500, 4096, 12345)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert expected and {size: said[-1]["text"] for size, said in found.items()} == dict.fromkeys(found, expected)
    assert len(found) == 3
    for said in found.values():
        assert [message["is_final"] for message in said] == [False] * (len(said) - 1) + [True]
        assert said[-1]["is_eof"] and len(said[-1]["tokens"]) == len(said[-1]["timestamps"]) > 3


def refused(port, *messages):
    """The error that a client is told which sends these."""
    with client(port) as socket:
        for message in messages:
            socket.send(message)
        error = json.loads(socket.recv(timeout=20))["error"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd.code == 1008 and error.startswith(closed.value.rcvd.reason)
    return error


def test_what_a_stream_may_not_be_is_said_and_others_go_on(port, samples, expected, caplog):
    good = samples[:800].numpy().tobytes()
    assert (
        refused(port, good, good[:-1]) == "3199 bytes are no whole number of samples; expected float32, 4 bytes each."
    )
    assert "2 of 3 samples are NaN or infinite." in refused(port, struct.pack("<3f", float("nan"), 0, float("inf")))
    # The client is named once; another line, that it left, may have come already.
    assert any(re.fullmatch(r"client \d+: 2 of 3 samples are NaN or infinite\.", line) for line in caplog.messages)
    assert "the audio reaches 30000" in refused(port, struct.pack("<800f", *[30000.0] * 800))
    assert 'the text "{\\"config\\": 1}" came' in refused(port, good, '{"config": 1}')
    assert refused(port) == "nothing came for 1 s, so this connection ends."
    with client(port) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send(bytes(1 << 17))
        socket.recv(timeout=20)
    assert closed.value.rcvd.code == 1009
    with client(port) as leaving:
        leaving.send(good)
        leaving.socket.close()  # as a browser that dies
    with client(port) as socket:
        assert stream_to(socket, samples)[-1]["text"] == expected
    with client(port) as socket:
        assert [said["text"] for said in stream_to(socket, samples[:0])] == [""]


def test_who_goes_on_sending_after_a_fault_does_not_keep_a_place(streaming, samples, expected):
    good, large = samples[:800].numpy().tobytes(), bytes(SMALL.max_message_size)
    config = dataclasses.replace(SMALL, max_active_connections=1)
    with running(lambda config: StreamService(streaming, config, BatchConfig()), config) as port:
        assert "1 of 1 samples are NaN" in refused(port, good, struct.pack("<f", float("nan")), large, large, large)
        until = time.monotonic() + 20
        while True:
            try:
                with client(port) as socket:
                    assert stream_to(socket, samples)[-1]["text"] == expected
                break
            except InvalidStatus:
                assert time.monotonic() < until, "the place is still taken"
                time.sleep(0.05)


def dripped(port, first, piece):
    """The error that a client is told which sends a piece of what it announced every now and then."""
    with client(port) as socket:
        socket.send(first)
        while True:
            with contextlib.suppress(ConnectionClosed):  # between two pieces: what was said before can be read
                socket.send(piece)
            with contextlib.suppress(TimeoutError):
                return json.loads(socket.recv(timeout=0.1))["error"]


def test_what_comes_in_drips_holds_no_room_for_long(streaming, transcriber):
    config = dataclasses.replace(SMALL, max_sending_sec=0.5, max_stream_sec=0.5)
    with BatchingTranscriber(transcriber, BatchConfig()) as batching:
        with running(lambda config: UtteranceService(batching, config), config) as port:
            said = dripped(port, struct.pack("<ii", 16000, 64000), bytes(4))
            assert said == "an utterance must have come within 0.5 s; send it again, faster."
        assert batching._reserved_sec == 0.0
    with running(lambda config: StreamService(streaming, config, BatchConfig()), config) as port:
        assert dripped(port, bytes(4), bytes(4)) == "a stream lasts 0.5 s at most; begin another."


def request(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_a_browser_gets_the_page_and_nothing_else(port):
    status, body, headers = request(port, "/")
    assert (
        status == 200 and b"<title>Speech to text</title>" in body and headers["Content-Type"].startswith("text/html")
    )
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert [request(port, f"/{name}?v=1")[0] for name in ("page.js", "microphone.js", "page.css")] == [200] * 3
    facts = json.loads(request(port, "/model.json")[1])
    assert facts == {"protocol": "streaming", "sample_rate": 16000, "model": "toy"}
    for path in ("/page.py", "/../page_files.py", "/%2e%2e/server.py", "//etc/passwd", "/page/", "/index.html/.."):
        assert request(port, path)[0] == 404
    with contextlib.suppress(http.client.RemoteDisconnected):  # what older releases of websockets answer
        assert request(port, "/", "POST")[0] == 405
    assert request(port, "/", Host="evil.example")[0] == 403
    assert request(port, "/", Host=f"localhost:{port}")[0] == 200
    with pytest.raises(InvalidStatus, match="403"), client(port, origin="http://evil.example"):
        pass
    with client(port, origin=f"http://127.0.0.1:{port}"):
        pass


def test_there_are_only_so_many_clients(port, samples, expected):
    num_in = 0
    with contextlib.ExitStack() as some, pytest.raises(InvalidStatus, match="503"):
        for _ in range(9):  # fewer where clients of before are about to go
            some.enter_context(client(port))
            num_in += 1
    assert 4 <= num_in <= 8
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            with client(port) as socket:
                assert stream_to(socket, samples)[-1]["text"] == expected
                return
        except InvalidStatus:
            time.sleep(0.05)
    raise AssertionError("clients that left are still counted")


def test_rates():
    now = [0.0]
    bucket = Bucket(2.0, lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 0.5
    assert bucket.take() and not bucket.take()
    waiting = Bucket(2.0, lambda: now[0])
    assert [waiting.wait_sec() for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]
    now[0] += 10.0
    assert waiting.wait_sec() == 0.0


def test_an_address_that_is_none_is_named(streaming):
    config = ServerConfig("no address", port=0)

    async def serve():
        await Server(StreamService(streaming, config, BatchConfig()), config, "toy").run(asyncio.Event(), print)

    with pytest.raises(ValueError, match=r"--host no address cannot be found \(.*\); give an address of this machine"):
        asyncio.run(serve())


def test_only_this_machine_unless_told():
    assert ServerConfig().host == "127.0.0.1" and ServerConfig().is_local and ServerConfig("::1").is_local
    assert not ServerConfig("0.0.0.0").is_local and not ServerConfig("speech.example").is_local


def test_whole_utterances(transcriber, samples, voice):
    alone = [transcriber.transcribe_samples(part) for part in (voice, voice[:9000])]
    batch = BatchConfig(max_queued_sec=3.0, max_wait_ms=0.0)
    with BatchingTranscriber(transcriber, batch) as batching:
        with running(lambda config: UtteranceService(batching, config), SMALL) as port:
            with client(port) as socket:
                first = ask(socket, utterance_bytes(samples))
                second = ask(socket, utterance_bytes(samples[:9000]), 100)
                assert [first["text"], second["text"]] == [one.text for one in alone] and first["text"]
                assert len(first["tokens"]) == len(first["timestamps"]) and first["duration"] == 2.023
                bad = ask(socket, utterance_bytes(torch.tensor([0.0, float("nan")])))
                assert bad["error"].endswith("1 of 2 samples are NaN or infinite.")
                assert "too short" in ask(socket, utterance_bytes(samples[:10]))["error"]
                busy = ask(socket, utterance_bytes(torch.zeros(64000)))["error"]
                assert (
                    busy
                    == "the server is busy: 0 s of audio wait, and 4 s more are above its 3 s; send it again later."
                )
                assert ask(socket, utterance_bytes(samples))["text"] == first["text"]
                other = ask(socket, utterance_bytes(samples[:16000], 8000))
                assert other["duration"] == 2.0 and other["text"]
                socket.send("Done")
                with pytest.raises(ConnectionClosed) as closed:
                    socket.recv(timeout=20)
                assert closed.value.rcvd.code == 1000
            assert refused(port, b"12345") == "5 bytes came; expected 8 first, the sample rate and the size in bytes."
            assert refused(port, struct.pack("<ii", 7, 4)) == "the sample rate is 7 Hz, expected 2000 to 400000 Hz."
            assert "an utterance of -4 bytes is announced" in refused(port, struct.pack("<ii", 16000, -4))
            assert "announced, expected at most 300 s." in refused(port, struct.pack("<ii", 16000, 1 << 30))
            assert "bytes of samples came, but 4 were announced" in refused(port, struct.pack("<ii2f", 16000, 4, 0, 0))
            assert "0 of 8 bytes came; the rest is missing" in refused(port, struct.pack("<ii", 16000, 8), "Done")
            assert 'the text "hello" came' in refused(port, "hello")
        assert batching._reserved_sec == 0.0


def test_requests_of_many_threads_are_put_together(transcriber, samples):
    parts = [samples[:length] for length in (32000, 9000, 16000, 20000, 12345, 25000)]
    alone = [transcriber.transcribe_samples(part.numpy()).text for part in parts]
    sizes, transcribe = [], transcriber.transcribe

    def counted(audio, names):
        sizes.append(len(audio))
        return transcribe(audio, names=names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcriber, "transcribe", counted)
        with BatchingTranscriber(transcriber, BatchConfig(max_batch_size=4, max_wait_ms=300)) as batching:
            futures = [batching.submit(part, f"call {number}") for number, part in enumerate(parts)]
            found = [future.result(60) for future in futures]
    assert [one.text for one in found] == alone and [one.file for one in found] == [f"call {n}" for n in range(6)]
    assert sizes == [4, 2]


class _Stuck:
    """A transcriber that waits until it is let go, and fails for what is called bad."""

    def __init__(self, spec):
        self.spec, self.go, self.begun = spec, threading.Event(), threading.Event()

    def transcribe(self, audio, names):
        self.begun.set()
        assert self.go.wait(20)
        if "bad" in names:
            raise KeyError("something of ours")
        return list(names)


def test_what_cannot_wait_is_told_so_and_nothing_is_lost(transcriber):
    stuck, second = _Stuck(transcriber.spec), torch.zeros(16000)
    config = BatchConfig(max_batch_size=1, max_wait_ms=0, max_queue_size=2, max_queued_sec=3.5)
    with BatchingTranscriber(stuck, config) as batching:
        futures = [batching.submit(second, "bad")]
        assert stuck.begun.wait(20)
        futures += [batching.submit(second, "b"), batching.submit(second[:8000], "c")]
        with pytest.raises(Busy, match=r"2 requests wait; send it again later\."):
            batching.submit(second[:8000], "d")
        with pytest.raises(Busy, match=r"2 s of audio wait, and 2 s more are above its 3.5 s"):
            batching.submit(torch.zeros(32000), "e")
        assert futures[2].cancel()  # its client left
        stuck.go.set()
        with pytest.raises(RuntimeError, match="bad: could not be recognised: 'something of ours'"):
            futures[0].result(20)
        assert futures[1].result(20) == "b"
    with pytest.raises(Busy, match="stopping"):
        batching.submit(second, "f")
    assert batching._reserved_sec == 0.0


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--max-segment-sec", "10"], "--max-segment-sec is for audio that is recognised whole, .* or add --whole"),
        (["--max-duration", "10"], "--max-duration is for audio that is recognised whole"),
        (["--whole", "--chunk-size", "8"], "--chunk-size is for streams, and with --whole utterances are recognised"),
        (["--whole", "--channel", "0"], "--channel is for files, and a client sends one channel"),
    ],
)
def test_flags_that_do_nothing_are_refused(flags, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        serve_command.main("serve", ["--exp-dir", str(tmp_path), *flags])
