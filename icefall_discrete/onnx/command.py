"""`icefall-discrete onnx`: prints the text of audio files by a model that `icefall-discrete export --to onnx` wrote.

PyTorch need not be installed. One line a file: the text alone for one file, <file><tab><text> for several. A name with
a tab, the end of a line or what the output's encoding lacks is written as a JSON string, in quotes. With --nbest, a
line for each hypothesis, best first (of a transducer: by nats a label), and before its text its score in nats and a
tab. What could not be recognised is named on standard error, and the exit status is 1 then. With --streaming, for a
folder that was exported so, each file is heard piece by piece, as it would come from a microphone; --partial prints
what is known after each piece that changes it: seconds, "...", text; the whole text has nothing in place of the dots.
"""

import logging
import sys
from pathlib import Path
from typing import Callable, Iterator, List, Sequence

from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.settings import MOST_THREADS
from icefall_discrete.base.text_files import shown_name
from icefall_discrete.decoding.methods import known_methods
from icefall_discrete.onnx.audio import read_audio
from icefall_discrete.onnx.recogniser import Recogniser
from icefall_discrete.onnx.streams import StreamingRecogniser

LOG = logging.getLogger(__name__)
# Audio goes in by pieces of this length.
PIECE_SEC = 0.04


def get_parser(prog: str) -> ScriptParser:
    """The flags of `onnx`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("audio", nargs="+", metavar="FILE", help="audio files")
    parser.add_argument("--model", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--decoding-method", choices=known_methods(), help="default: the experiment's")
    parser.add_argument(
        "--nbest", type=Number(int, minimum=1), default=1, help="hypotheses of each file, at most (default: 1)"
    )
    parser.add_argument("--streaming", action="store_true", help="recognise chunk by chunk, as the audio comes")
    parser.add_argument("--partial", action="store_true", help="with --streaming: print unfinished texts too")
    parser.add_argument("--int8", action="store_true", help="take weights of 8 bits")
    threads = Number(int, minimum=1, maximum=MOST_THREADS)
    parser.add_argument("--num-threads", type=threads, default=1, help="threads of each network")
    return parser


# From the name of a file to the lines about it, each in columns.
_Recognise = Callable[[str], Iterator[List[str]]]


def _of_files(recogniser: Recogniser, nbest: int) -> _Recognise:
    recogniser.require_nbest(nbest)

    def recognise(name: str) -> Iterator[List[str]]:
        for text, score in recogniser.hypotheses_of_file(name, nbest):
            yield [*([f"{score:.4f}"] if nbest > 1 else []), text]

    return recognise


def _of_streams(recogniser: StreamingRecogniser, partial: bool) -> _Recognise:
    rate = recogniser.spec.sample_rate_hz
    size = round(PIECE_SEC * rate)

    def recognise(name: str) -> Iterator[List[str]]:
        samples, stream, known = read_audio(Path(name), rate), recogniser.open(shown_name(name)), ""
        for begin in range(0, len(samples), size):
            text = stream.accept(samples[begin : begin + size])
            if partial and text != known:
                yield [f"{min(begin + size, len(samples)) / rate:.2f}", "...", text]
            known = text
        yield [*([f"{len(samples) / rate:.2f}", ""] if partial else []), stream.finish()]

    return recognise


def main(prog: str, arguments: Sequence[str]) -> None:
    """Recognise, print, and end with status 1 if a file failed."""
    args = get_parser(prog).parse_args(arguments)
    if args.partial and not args.streaming:
        raise ValueError("--partial is for streams; without --streaming files are recognised whole: add it.")
    if args.streaming and args.nbest > 1:
        raise ValueError(f"--nbest {args.nbest} is for whole files, and a stream has one text; leave out --streaming.")
    chosen = (args.model, args.decoding_method, args.int8, args.num_threads)
    if args.streaming:
        recognise = _of_streams(StreamingRecogniser(*chosen), args.partial)
    else:
        recognise = _of_files(Recogniser(*chosen), args.nbest)
    failed, encoding = 0, sys.stdout.encoding or "utf-8"
    for name in args.audio:
        before = [shown_name(name, encoding)] if len(args.audio) > 1 else []
        try:
            for columns in recognise(name):
                line = "\t".join([*before, *columns])
                print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        except ValueError as error:
            failed += 1
            LOG.error(str(error))
    if failed:
        LOG.error(f"{failed} of {len(args.audio)} files could not be recognised.")
        sys.exit(1)
