"""A server in a thread of this process, on a free port of this machine, and clients of sherpa-onnx's two protocols."""

import asyncio
import contextlib
import json
import struct
import threading

import pytest

from icefall_discrete.inference.serving.settings import ServerConfig

pytest.importorskip("websockets", reason="serving needs websockets (extra serve)")
from websockets.sync.client import connect

from icefall_discrete.inference.serving.server import Server


@contextlib.contextmanager
def running(make_service, config=None):
    """Yield the port of a server; make_service: from settings to what it does."""
    config = config or ServerConfig(port=0)
    ready, found = threading.Event(), {}

    async def serve():
        found["loop"], found["stop"] = asyncio.get_running_loop(), asyncio.Event()

        def started(port):
            found["port"] = port
            ready.set()

        await Server(make_service(config), config, "toy").run(found["stop"], started)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield found["port"]
    found["loop"].call_soon_threadsafe(found["stop"].set)
    thread.join(30)
    assert not thread.is_alive()


@contextlib.contextmanager
def client(port, **options):
    """Yield a connected client, which asks for no answers to pings: they stand behind what it sent."""
    with connect(f"ws://127.0.0.1:{port}", compression=None, ping_interval=None, **options) as socket:
        yield socket


def stream_to(socket, samples, size=1000):
    """Send samples (S,) as a stream, `size` at once; returns the JSON messages that come until Done!."""
    for start in range(0, len(samples), size):
        socket.send(samples[start : start + size].numpy().tobytes())
    socket.send("Done")
    said = []
    while (message := socket.recv(timeout=60)) != "Done!":
        said.append(json.loads(message))
    return said


def utterance_bytes(samples, rate_hz=16000):
    """What a client sends of a whole utterance (S,)."""
    return struct.pack("<ii", rate_hz, 4 * len(samples)) + samples.numpy().tobytes()


def ask(socket, data, size=10240):
    """Send the bytes of a whole utterance in messages of `size`; returns the JSON that comes."""
    for start in range(0, len(data), size):
        socket.send(data[start : start + size])
    return json.loads(socket.recv(timeout=60))
