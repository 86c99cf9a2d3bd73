"""`icefall-discrete synthesise`: codes, or texts, to audio, by a trained vocoder.

A file of codes is an array, .npy of (frames, codebooks) or (frames,), and becomes <out>/<its name>.flac; or a manifest
of cuts with codes, as extraction writes it with spec.json beside it, and becomes <out>/<cut id>.flac of each cut. The
path of each file is printed when it is written. Without --speaker, a cut has its own voice, and an array that of nobody
in particular. Codes of another feature type than the vocoder's are refused; an array does not say which it is of, so
that only the number of its codebooks and its range are compared. With --tts-exp-dir, an experiment that tells units of
texts, each --text becomes <out>/text-1.flac, <out>/text-2.flac and so on. What cannot be said is told on standard
error; the others are said all the same, and the exit status is 1.
"""

import dataclasses
import logging
import sys
from pathlib import Path
from typing import Any, Sequence
from urllib.parse import quote

import torch

from icefall_discrete.base.flags import ScriptParser, override
from icefall_discrete.base.script import one_sentence
from icefall_discrete.inference.speaker import Speaker, Speech
from icefall_discrete.inference.speaking import AudioFolder, add_speaker_flags, make_speaker
from icefall_discrete.inference.text_speaker import TextSpeaker
from icefall_discrete.systems.prediction import RunConfig

LOG = logging.getLogger(__name__)


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


def _say_files(args: Any, speaker: Speaker, folder: AudioFolder) -> int:
    """Say the files of codes; returns how many could not be said to the end."""
    failed = 0
    for path in args.codes:
        try:
            for speech in speaker.say_file(path, args.speaker, args.without_repetitions):
                folder.write(speech, speaker.sample_rate_hz, quote(speech.name, safe=""))
        except (ValueError, FileNotFoundError) as error:
            failed += 1
            LOG.error(one_sentence(error))
    return failed


def _say_texts(args: Any, speaker: Speaker, run: RunConfig, folder: AudioFolder) -> int:
    """Say the texts; returns how many could not be said."""
    texts, failed = TextSpeaker(args.tts_exp_dir, speaker, run=run), 0
    if args.speech_rate is not None:
        texts.synthesis = dataclasses.replace(texts.synthesis, speech_rate=args.speech_rate)
    for number, text in enumerate(args.text, start=1):
        try:
            samples = texts.say(text, args.speaker, args.language)
        except ValueError as error:
            failed += 1
            LOG.error(f"text {number}: {error}")
            continue
        folder.write(Speech(text, samples), speaker.sample_rate_hz, f"text-{number}")
    return failed


def main(prog: str, arguments: Sequence[str]) -> None:
    """Synthesise, print what was written, and end with status 1 if something could not be said."""
    args = get_parser(prog).parse_args(arguments)
    if bool(args.text) != (args.tts_exp_dir is not None):
        raise ValueError("--text and --tts-exp-dir, the experiment that tells its units, are given together.")
    if not args.text and not args.codes:
        raise ValueError("there is nothing to say; give files of codes, or --text with --tts-exp-dir.")
    folder = AudioFolder(args.out, args.codes)
    run = override(RunConfig(), args)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    speaker = make_speaker(args, args.exp_dir)
    if args.speaker:
        speaker.voices.number_of(args.speaker)  # who is unknown says nothing at all
    torch.set_flush_denormal(True)
    failed = _say_files(args, speaker, folder)
    if args.text:
        failed += _say_texts(args, speaker, run, folder)
    if failed:
        LOG.error(f"{failed} of {len(args.codes) + len(args.text)} could not be said.")
        sys.exit(1)
