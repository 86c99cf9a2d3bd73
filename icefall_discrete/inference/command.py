"""`icefall-discrete transcribe`: prints the text of audio files, recognised with a trained experiment.

One line a file, in the order given: the text alone for one file, <file><tab><text> for several. A name with a tab, the
end of a line or what the output's encoding lacks is written as a JSON string, in quotes. --json prints one JSON object
a line instead: file, duration, text, score (log-probability, nats), segments, words and tokens with their times
in seconds; with --nbest N the N best hypotheses of each segment too; for a file that cannot be transcribed, file and
error. Text goes to standard output, everything else to standard error. The exit status is 1 if a file could not be
transcribed; the others are transcribed all the same.

--streaming recognises while the audio comes, with a model that was trained with causal on features that can be made so:
a line an utterance, which ends by the rules for endpoints; --partial prints what it grows through too, with the seconds
heard so far; --json has text, tokens, timestamps, segment, start_time, is_final and so on. --pcm-rate 16000 reads
samples (s16le, one channel) from standard input instead of files. How long text took is logged.
"""

import io
import logging
import sys
from pathlib import Path
from typing import Any, Iterator, List, Sequence

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.text_files import json_in, lines_in, numbered_lines, shown_name
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_recipe, settings_in
from icefall_discrete.inference.audio_files import AudioConfig
from icefall_discrete.inference.chosen_model import add_model_flags, chosen_exp_dir
from icefall_discrete.inference.streaming.command import add_streaming_flags, refuse_streaming_flags, stream_files
from icefall_discrete.inference.text_and_speech import TextAndSpeech, is_text_and_speech
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.transcription import Failure, Outcome
from icefall_discrete.systems.prediction import RunConfig

LOG = logging.getLogger(__name__)
STDIN = "-"


def get_parser(prog: str) -> ScriptParser:
    """The flags of `transcribe`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("audio", nargs="*", metavar="FILE", help="audio files; -: read their names from standard input")
    add_model_flags(parser)
    parser.add_argument("--file-list", type=Path, help="text file with more names of audio files, one a line")
    parser.add_argument("--json", action="store_true", help="print JSON lines with scores and times, not only text")
    parser.add_argument(
        "--tokenizer-dir", type=Path, help="folder with the fitted tokenizer (default: <exp-dir>/tokenizer)"
    )
    parser.add_argument(
        "--recipe-config", type=Path, help="recipe with sections average, decode (default: <exp-dir>/recipe.json)"
    )
    add_flags(parser, AudioConfig)
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, DecodeConfig, "decode")
    add_flags(parser, RunConfig)
    add_streaming_flags(parser)
    return parser


def _standard_input() -> str:
    """What standard input holds; bytes that its encoding lacks stand for themselves, as in names of files."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    return sys.stdin.read().removeprefix("\ufeff")


def paths_of(args: Any) -> List[str]:
    """The audio files asked for, in order. Raises ValueError if there are none, FileNotFoundError without the list."""
    paths: List[str] = []
    for name in args.audio:
        paths += [line for _, line in lines_in(_standard_input())] if name == STDIN else [name]
    if args.file_list is not None:
        paths += [line for _, line in numbered_lines(args.file_list)]
    if not paths and args.pcm_rate is None:
        raise ValueError("there is nothing to transcribe; give audio files, --file-list, or - for standard input.")
    return paths


def make_transcriber(args: Any) -> Transcriber:
    """The transcriber that the flags ask for: defaults, over them the recipe's settings, then the flags."""
    recipe = load_recipe(args.exp_dir, args.recipe_config)
    choice, decode = settings_in(recipe, f"the recipe of {args.exp_dir}")
    return Transcriber(
        args.exp_dir,
        override(choice, args, "average"),
        override(decode, args, "decode"),
        override(RunConfig(), args),
        override(AudioConfig(), args),
        args.tokenizer_dir,
    )


def line_of(outcome: Outcome, as_json: bool, with_name: bool, encoding: str = "utf-8") -> str:
    """The line that is printed for a file; empty, to say nothing, for a failure without `as_json`.

    encoding: of the output; what it lacks is escaped.
    """
    if as_json:
        return json_in(outcome.to_json(), encoding)
    if isinstance(outcome, Failure):
        return ""
    text = outcome.text.encode(encoding, "backslashreplace").decode(encoding)
    return f"{shown_name(outcome.file, encoding)}\t{text}" if with_name else text


def main(prog: str, arguments: Sequence[str]) -> None:
    """Transcribe, print, and end with status 1 if a file failed."""
    args = get_parser(prog).parse_args(arguments)
    if not args.streaming:
        refuse_streaming_flags(args)
    paths = paths_of(args)
    args.exp_dir = chosen_exp_dir(args)
    run = override(RunConfig(), args)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    failed = stream_files(args, paths) if args.streaming else _transcribe_whole(args, paths)
    if failed:
        LOG.error(f"{failed} of {max(1, len(paths))} files could not be transcribed.")
        sys.exit(1)


def _outcomes(args: Any, paths: Sequence[str]) -> Iterator[Outcome]:
    """What is found in each file, by a recogniser, or by a model of text and speech."""
    if is_text_and_speech(args.exp_dir):
        choice, _ = settings_in(load_recipe(args.exp_dir, args.recipe_config), f"the recipe of {args.exp_dir}")
        model = TextAndSpeech(args.exp_dir, override(choice, args, "average"), override(RunConfig(), args))
        return model.outcomes(paths, override(AudioConfig(), args), args.tokenizer_dir)
    return make_transcriber(args).transcribe(paths, "Transcribing")


def _transcribe_whole(args: Any, paths: Sequence[str]) -> int:
    """Transcribe and print; returns how many files failed."""
    found = _outcomes(args, paths)
    torch.set_flush_denormal(True)  # not before numpy has looked at its numbers, which it does with a warning then
    failed = 0
    with logging_redirect_tqdm():
        for outcome in found:
            if isinstance(outcome, Failure):
                failed += 1
                LOG.error(outcome.message)
            if args.json or not isinstance(outcome, Failure):
                line = line_of(outcome, args.json, len(paths) > 1, sys.stdout.encoding or "utf-8")
                tqdm.write(line, file=sys.stdout)
                sys.stdout.flush()
    return failed
