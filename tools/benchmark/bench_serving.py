#!/usr/bin/env python3
"""A server under load: many clients on this machine at once, a bounded number of requests, and what became of each.

Server and clients share one process and 127.0.0.1. Whole utterances are sent one after the other by each client,
streams as fast as the server takes them, or at --speed times real time. Each answer is compared with the text of the
same audio alone; a busy server is asked again, which is counted.
"""

import dataclasses
import itertools
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "toys"))

from toy_server import ask, client, running, utterance_bytes
from toy_streaming import said_in

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.inference.audio_files import open_audio, read_samples
from icefall_discrete.inference.serving.batching import BatchingTranscriber
from icefall_discrete.inference.serving.settings import BatchConfig, ServerConfig
from icefall_discrete.inference.serving.streams import StreamService
from icefall_discrete.inference.serving.utterances import UtteranceService
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.transcriber import StreamingTranscriber
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.prediction import RunConfig

CPU = RunConfig(device="cpu")
MOST_REQUESTS, PAUSE_SEC = 5000, 0.05


@dataclasses.dataclass(frozen=True)
class LoadConfig:
    """The load."""

    num_clients: int = setting(8, "clients at a time", minimum=1, maximum=200)
    num_requests: int = setting(5, "utterances of each client", minimum=1)
    whole: bool = setting(True, "whole utterances; false: streams")
    speed: float = setting(0.0, "streams are sent at so many times real time; 0: as fast as they are taken", minimum=0)
    threads: int = setting(1, "CPU threads of torch", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.num_clients * self.num_requests > MOST_REQUESTS:
            raise ValueError(f"{self.num_clients} x {self.num_requests} requests, expected at most {MOST_REQUESTS}.")


@dataclasses.dataclass
class Tally:
    """What became of the requests: seconds to the answer, and how many were answered otherwise or asked again."""

    seconds: List[float] = dataclasses.field(default_factory=list)
    num_other, num_busy = 0, 0

    def add(self, seconds: float, is_same: bool) -> None:
        """Count an answer."""
        self.seconds.append(seconds)
        self.num_other += not is_same

    def quantile(self, share: float) -> float:
        """Seconds within which this share was answered; infinity if none was."""
        in_order = sorted(self.seconds) or [float("inf")]
        return in_order[min(len(in_order) - 1, int(share * len(in_order)))]


def ask_whole(socket: Any, samples: Tensor, tally: Tally) -> Tuple[str, float]:
    """The text of a whole utterance, and how long it took from the first byte on."""
    data = utterance_bytes(samples)
    began = time.monotonic()
    while "busy" in (said := ask(socket, data, 1 << 16)).get("error", ""):
        tally.num_busy += 1
        time.sleep(PAUSE_SEC)
    return said.get("text", ""), time.monotonic() - began


def ask_stream(port: int, samples: Tensor, speed: float) -> Tuple[str, float]:
    """The texts of a stream, and how long the last took from the end of the audio on."""
    texts: Dict[int, str] = {}
    with client(port) as socket:
        for piece in torch.split(samples, 1600):
            socket.send(piece.numpy().tobytes())
            if speed:
                time.sleep(len(piece) / 16000 / speed)
        ended = time.monotonic()
        socket.send("Done")
        while (message := socket.recv(timeout=600)) != "Done!":
            said = json.loads(message)
            texts[said.get("segment", -1)] = said.get("text", "")
    return " ".join(filter(None, texts.values())), time.monotonic() - ended


def load(config: LoadConfig, port: int, audio: Sequence[Tensor], expected: Sequence[str]) -> Tuple[Tally, float]:
    """Send everything; returns what became of it, and the seconds that all took."""
    tally, lock, turns = Tally(), threading.Lock(), itertools.count()

    def ask_all(asked: Callable[[Tensor], Tuple[str, float]]) -> None:
        for _ in range(config.num_requests):
            with lock:
                which = next(turns) % len(audio)
            text, seconds = asked(audio[which])
            with lock:
                tally.add(seconds, text == expected[which])

    def talk() -> None:
        if config.whole:
            with client(port) as socket:
                ask_all(lambda samples: ask_whole(socket, samples, tally))
                socket.send("Done")
        else:
            ask_all(lambda samples: ask_stream(port, samples, config.speed))

    threads = [threading.Thread(target=talk, daemon=True) for _ in range(config.num_clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally, time.monotonic() - began


def report(config: LoadConfig, tally: Tally, seconds: float, audio: Sequence[Tensor], alone_sec: float) -> str:
    """The table."""
    asked = config.num_clients * config.num_requests
    sent_sec = sum(len(audio[turn % len(audio)]) for turn in range(asked)) / 16000
    row = [
        f"{config.num_clients} x {config.num_requests} {'utterances' if config.whole else 'streams'}",
        f"{sent_sec / seconds:.1f}",
        f"{sum(map(len, audio)) / 16000 / alone_sec:.1f}",
        f"{1000 * tally.quantile(0.5):.0f}",
        f"{1000 * tally.quantile(0.99):.0f}",
        *map(str, (asked - len(tally.seconds), tally.num_other, tally.num_busy)),
    ]
    head = ["requests", "audio s a second", "one by one", "p50 ms", "p99 ms", "lost", "other text", "asked again"]
    return text_table(head, [row])


def alone(texts: Callable[[Tensor], str], audio: Sequence[Tensor]) -> Tuple[List[str], float]:
    """The text of each by itself, and the seconds that all took."""
    began = time.monotonic()
    return [texts(samples) for samples in audio], time.monotonic() - began


def main() -> None:
    """Recognise alone, then under load, and print both."""
    parser = ScriptParser(__doc__)
    parser.add_argument("audio", nargs="+", type=Path, help="audio files")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    add_flags(parser, LoadConfig)
    add_flags(parser, BatchConfig)
    args = parser.parse_args()
    config, batching = override(LoadConfig(), args), override(BatchConfig(), args)
    torch.set_num_threads(config.threads)
    audio = [read_samples(open_audio(str(path)), 16000) for path in args.audio]
    server = ServerConfig(port=0, max_active_connections=1000, max_new_connections=1000.0)
    if config.whole:
        transcriber = Transcriber(args.exp_dir, run=CPU)
        expected, alone_sec = alone(lambda samples: transcriber.transcribe_samples(samples).text, audio)
        together = BatchingTranscriber(transcriber, batching)
        with together, running(lambda settings: UtteranceService(together, settings), server) as port:
            tally, seconds = load(config, port, audio, expected)
    else:
        streams = StreamingTranscriber(args.exp_dir, run=CPU, endpoints=EndpointConfig(enable_endpoint=False))
        expected, alone_sec = alone(lambda samples: said_in(streams, samples, 1600)[-1].text, audio)
        with running(lambda settings: StreamService(streams, settings, batching), server) as port:
            tally, seconds = load(config, port, audio, expected)
    print(report(config, tally, seconds, audio, alone_sec))


if __name__ == "__main__":
    run_script(main)
