"""`icefall-discrete synthesise`: codes, or texts, to audio, by a trained vocoder.

A file of codes is an array, .npy of (frames, codebooks) or (frames,), and becomes <out>/<its name>.flac; or a manifest
of cuts with codes, as extraction writes it with spec.json beside it, and becomes <out>/<cut id>.flac of each cut. The
path of each file is printed when it is written. Without --speaker, a cut has its own voice, and an array that of nobody
in particular. Codes of another feature type than the vocoder's are refused; an array does not say which it is of, so
that only the number of its codebooks and its range are compared. With --tts-exp-dir, an experiment that tells units of
texts, each --text becomes <out>/text-1.flac, <out>/text-2.flac and so on.
"""

import dataclasses
from pathlib import Path
from typing import Any, Sequence
from urllib.parse import quote

import torch

from icefall_discrete.base.flags import ScriptParser, override
from icefall_discrete.inference.speaker import Speaker, Speech
from icefall_discrete.inference.speaking import add_speaker_flags, make_speaker, write_speech
from icefall_discrete.inference.text_speaker import TextSpeaker
from icefall_discrete.systems.prediction import RunConfig


def get_parser(prog: str) -> ScriptParser:
    """The flags of `synthesise`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("codes", nargs="*", type=Path, metavar="FILE", help="arrays of codes, or manifests of cuts")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained vocoder")
    parser.add_argument(
        "--without-repetitions",
        action="store_true",
        help="arrays hold each unit once; the vocoder says how long it lasts",
    )
    parser.add_argument("--tts-exp-dir", type=Path, help="folder of a trained experiment from texts to units")
    parser.add_argument("--text", action="append", default=[], help="a text that is said; may be given more than once")
    parser.add_argument("--language", default="", help="of the texts (default: the only one that there is)")
    parser.add_argument("--speech-rate", type=float, help="how fast texts are said (default: as the recipe says)")
    add_speaker_flags(parser)
    return parser


def _say_texts(args: Any, speaker: Speaker, run: RunConfig) -> None:
    texts = TextSpeaker(args.tts_exp_dir, speaker, run=run)
    if args.speech_rate is not None:
        texts.synthesis = dataclasses.replace(texts.synthesis, speech_rate=args.speech_rate)
    for number, text in enumerate(args.text, start=1):
        try:
            samples = texts.say(text, args.speaker, args.language)
        except ValueError as error:
            raise ValueError(f"text {number}: {error}") from None
        write_speech(Speech(text, samples), speaker.sample_rate_hz, args.out, f"text-{number}")


def main(prog: str, arguments: Sequence[str]) -> None:
    """Synthesise, and print what was written."""
    args = get_parser(prog).parse_args(arguments)
    if bool(args.text) != (args.tts_exp_dir is not None):
        raise ValueError("--text and --tts-exp-dir, the experiment that tells its units, are given together.")
    if not args.text and not args.codes:
        raise ValueError("there is nothing to say; give files of codes, or --text with --tts-exp-dir.")
    run = override(RunConfig(), args)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    speaker = make_speaker(args, args.exp_dir)
    torch.set_flush_denormal(True)
    for path in args.codes:
        for speech in speaker.say_file(path, args.speaker, args.without_repetitions):
            write_speech(speech, speaker.sample_rate_hz, args.out, quote(speech.name, safe=""))
    if args.text:
        _say_texts(args, speaker, run)
