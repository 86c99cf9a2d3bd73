"""`icefall-discrete onnx`: prints the text of audio files by a model that `icefall-discrete export --to onnx` wrote.

PyTorch need not be installed. One line a file: the text alone for one file, <file><tab><text> for several. What could
not be recognised is named on standard error, and the exit status is 1 then.
"""

import logging
import sys
from pathlib import Path
from typing import Sequence

from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.decoding.methods import known_methods
from icefall_discrete.onnx.recogniser import Recogniser

LOG = logging.getLogger(__name__)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `onnx`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("audio", nargs="+", metavar="FILE", help="audio files")
    parser.add_argument("--model", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--decoding-method", choices=known_methods(), help="default: the experiment's")
    parser.add_argument("--int8", action="store_true", help="take weights of 8 bits")
    parser.add_argument("--num-threads", type=Number(int, minimum=1), default=1, help="threads of each network")
    return parser


def main(prog: str, arguments: Sequence[str]) -> None:
    """Recognise, print, and end with status 1 if a file failed."""
    args = get_parser(prog).parse_args(arguments)
    recogniser = Recogniser(args.model, args.decoding_method, args.int8, args.num_threads)
    failed = 0
    for name in args.audio:
        try:
            text = recogniser.recognise_file(name)
        except ValueError as error:
            failed += 1
            LOG.error(str(error))
            continue
        print(f"{name}\t{text}" if len(args.audio) > 1 else text, flush=True)
    if failed:
        LOG.error(f"{failed} of {len(args.audio)} files could not be recognised.")
        sys.exit(1)
