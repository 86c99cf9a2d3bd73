"""`icefall-discrete serve`: recognition over WebSockets, for clients of sherpa-onnx and for browsers.

Without --whole, streams: a client sends float32 samples in binary messages and Done at the end, and is told the text as
it grows (sherpa-onnx's online server); it needs a model that was trained with causal. With --whole, whole utterances:
sample rate and size (int32 each), then the samples (sherpa-onnx's offline server), with any model. A browser finds a
page that listens to its microphone at the address that is printed. Only this machine can connect unless --host says
otherwise. Ctrl-C ends it.
"""

import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Any, Iterator, Sequence, Union

import torch

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.inference.audio_files import AudioConfig
from icefall_discrete.inference.chosen_model import add_model_flags, chosen_exp_dir
from icefall_discrete.inference.command import make_transcriber
from icefall_discrete.inference.serving.batching import BatchingTranscriber
from icefall_discrete.inference.serving.settings import BatchConfig, ServerConfig
from icefall_discrete.inference.serving.streams import StreamService
from icefall_discrete.inference.serving.utterances import UtteranceService
from icefall_discrete.inference.streaming.command import (
    SECTION,
    flag_of_streams,
    make_streaming_transcriber,
    refuse_flags_of_wholes,
)
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.prediction import RunConfig

LOG = logging.getLogger(__name__)
AnyService = Union[StreamService, UtteranceService]


def get_parser(prog: str) -> ScriptParser:
    """The flags of `serve`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    add_model_flags(parser)
    parser.add_argument("--whole", action="store_true", help="serve whole utterances, not streams")
    parser.add_argument(
        "--tokenizer-dir", type=Path, help="folder with the fitted tokenizer (default: <exp-dir>/tokenizer)"
    )
    parser.add_argument(
        "--recipe-config", type=Path, help="recipe with sections average, decode (default: <exp-dir>/recipe.json)"
    )
    for cls, section in (
        (ServerConfig, ""),
        (BatchConfig, ""),
        (StreamingConfig, SECTION),
        (EndpointConfig, SECTION),
        (AudioConfig, ""),
        (CheckpointChoice, "average"),
        (DecodeConfig, "decode"),
        (RunConfig, ""),
    ):
        add_flags(parser, cls, section)
    return parser


def _refuse_flags_of_others(args: Any) -> None:
    """Raise ValueError if a flag was given that does nothing to what is served."""
    if "channel" in vars(args):
        raise ValueError("--channel is for files, and a client sends one channel; leave it away.")
    if not args.whole:
        refuse_flags_of_wholes(args, "add --whole")
    elif flag_of_streams(args):
        raise ValueError(
            f"{flag_of_streams(args)} is for streams, and with --whole utterances are recognised whole; leave one of "
            "the two away."
        )


@contextlib.contextmanager
def _service(args: Any, config: ServerConfig) -> Iterator[AnyService]:
    """The service that the flags ask for."""
    batching = override(BatchConfig(), args)
    if args.whole:
        with BatchingTranscriber(make_transcriber(args), batching) as transcriber:
            yield UtteranceService(transcriber, config)
    else:
        yield StreamService(make_streaming_transcriber(args), config, batching)


def _say_where(config: ServerConfig, port: int) -> None:
    scheme = "https" if config.certificate else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    LOG.info(f"serving at {scheme}://{host}:{port}/, for clients at {scheme.replace('http', 'ws')}://{host}:{port}")
    if not config.is_local:
        LOG.warning(
            f"whoever reaches port {port} of this machine can use it; --host 127.0.0.1 keeps it to this machine."
        )


def main(prog: str, arguments: Sequence[str]) -> None:
    """Load the model, and serve until a signal says to stop."""
    args = get_parser(prog).parse_args(arguments)
    from icefall_discrete.inference.serving.server import Server

    _refuse_flags_of_others(args)
    args.exp_dir = chosen_exp_dir(args)
    config, run = override(ServerConfig(), args), override(RunConfig(), args)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with _service(args, config) as service:
            torch.set_flush_denormal(True)
            server = Server(service, config, args.exp_dir.name)
            await server.run(stop, lambda port: _say_where(config, port))
            LOG.info("stopped; %d clients were served", server.num_served)

    asyncio.run(serve())
