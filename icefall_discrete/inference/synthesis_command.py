"""`icefall-discrete synthesise`: codes to audio, by a trained vocoder.

A file of codes is an array, .npy of (frames, codebooks) or (frames,), and becomes <out>/<its name>.flac; or a manifest
of cuts with codes, as extraction writes it with spec.json beside it, and becomes <out>/<cut id>.flac of each cut. The
path of each file is printed when it is written. Without --speaker, a cut has its own voice, and an array that of nobody
in particular. Codes of another feature type than the vocoder's are refused; an array does not say which it is of, so
that only the number of its codebooks and its range are compared.
"""

from pathlib import Path
from typing import Sequence
from urllib.parse import quote

import torch

from icefall_discrete.base.flags import ScriptParser, override
from icefall_discrete.inference.speaking import add_speaker_flags, make_speaker, write_speech
from icefall_discrete.systems.prediction import RunConfig


def get_parser(prog: str) -> ScriptParser:
    """The flags of `synthesise`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("codes", nargs="+", type=Path, metavar="FILE", help="arrays of codes, or manifests of cuts")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained vocoder")
    parser.add_argument(
        "--without-repetitions",
        action="store_true",
        help="arrays hold each unit once; the vocoder says how long it lasts",
    )
    add_speaker_flags(parser)
    return parser


def main(prog: str, arguments: Sequence[str]) -> None:
    """Synthesise, and print what was written."""
    args = get_parser(prog).parse_args(arguments)
    run = override(RunConfig(), args)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    speaker = make_speaker(args, args.exp_dir)
    torch.set_flush_denormal(True)
    for path in args.codes:
        for speech in speaker.say_file(path, args.speaker, args.without_repetitions):
            write_speech(speech, speaker.sample_rate_hz, args.out, quote(speech.name, safe=""))
