"""`icefall-discrete continue`: codes, or audio, that a language model of units goes on with.

A prompt is an array of codes, .npy of (frames, codebooks) or (frames,), or an audio file, of which the tokenizer that
travels with the experiment makes codes; of either the first --prompt-sec seconds are taken. Each becomes
<out>/<its name>.npy, the prompt and what follows it, and with --vocoder-exp-dir, a vocoder of the same codes,
<out>/<its name>.flac as well. The path of each file is printed when it is written. With --num-samples each is gone on
with several times, <name>-1, <name>-2 and so on. The same seed gives the same codes, whatever prompts come together.
The exit status is 1 if a prompt could not be read; the others are gone on with all the same.
"""

import dataclasses
import io
import logging
import sys
from itertools import chain
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.base.atomic_files import write_bytes
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import one_sentence
from icefall_discrete.base.settings import setting
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer, load_recipe, settings_in
from icefall_discrete.inference.audio_files import AudioConfig, open_audio, read_samples
from icefall_discrete.inference.speaker import ARRAYS, Speaker, Speech, one_each, read_array
from icefall_discrete.inference.speaking import AudioFolder, print_path
from icefall_discrete.inference.text_and_speech import encoded_alone
from icefall_discrete.inference.unit_continuer import UnitContinuer
from icefall_discrete.systems.asr.transcription import Failure
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.unit_lm.generation import SamplingConfig

LOG = logging.getLogger(__name__)
CODES = ".npy"


@dataclasses.dataclass(frozen=True)
class ContinuationConfig:
    """How much is heard, and how much is said."""

    prompt_sec: float = setting(3.0, "seconds of each prompt that are heard; 0: all of it", minimum=0)
    max_sec: float = setting(5.0, "most seconds that are said behind it, where no end is found before", above=0)
    num_samples: int = setting(1, "how often each prompt is gone on with", minimum=1)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `continue`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("prompts", nargs="+", metavar="FILE", help="arrays of codes, or audio files")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained language model")
    parser.add_argument("--vocoder-exp-dir", type=Path, help="folder of a trained vocoder of the same codes")
    parser.add_argument(
        "--tokenizer-dir", type=Path, help="folder with the fitted tokenizer (default: <exp-dir>/tokenizer)"
    )
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of what is written (default: this one)")
    parser.add_argument("--speaker", default="", help="a voice of the vocoder's table (default: nobody's)")
    for config in (ContinuationConfig, SamplingConfig, AudioConfig, RunConfig):
        add_flags(parser, config)
    add_flags(parser, CheckpointChoice, "average")
    return parser


def _prompts(args: Any, continuer: UnitContinuer) -> Iterator[Union[Tensor, Failure]]:
    """Codes (T, K) of each prompt, or why it has none."""
    audio, prompt_sec = override(AudioConfig(), args), override(ContinuationConfig(), args).prompt_sec
    tokenizer = None
    if not all(path.endswith(ARRAYS) for path in args.prompts):
        tokenizer = load_experiment_tokenizer(args.exp_dir, continuer.spec, args.tokenizer_dir)
    for path in args.prompts:
        try:
            if tokenizer is None or path.endswith(ARRAYS):
                codes = read_array(Path(path))
            else:
                samples = read_samples(open_audio(path), continuer.spec.sample_rate_hz, audio.channel)
                codes = encoded_alone(tokenizer, samples, path)
            yield continuer.first_of(codes, prompt_sec, path)
        except (ValueError, FileNotFoundError) as error:
            yield Failure(path, one_sentence(error))


def write_codes(codes: Tensor, path: Path) -> None:
    """Write codes (T, K) as an array, and print the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    np.save(stream, codes.numpy())
    write_bytes(path, stream.getvalue())
    print_path(path)


def _called(name: str, num_samples: int) -> List[str]:
    """Names of what goes on with a prompt."""
    return [name] if num_samples == 1 else [f"{name}-{number}" for number in range(1, num_samples + 1)]


def _say(vocoder: Speaker, codes: Tensor, voice: str, name: str) -> Speech:
    say = vocoder.say_units if vocoder.spec.has_variable_rate else vocoder.say
    return Speech(name, say(codes, voice, name))


def main(prog: str, arguments: Sequence[str]) -> None:
    """Go on with each prompt, print what was written, and end with status 1 if a prompt could not be read."""
    args = get_parser(prog).parse_args(arguments)
    config, run = override(ContinuationConfig(), args), override(RunConfig(), args)
    names, folder = one_each(args.prompts), AudioFolder(args.out, [Path(prompt) for prompt in args.prompts])
    outputs = {name: _called(name, config.num_samples) for name in names}
    for called in chain.from_iterable(outputs.values()):
        folder.path_of(called, CODES)
        if args.vocoder_exp_dir is not None:
            folder.path_of(called)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    kept, _ = settings_in(load_recipe(args.exp_dir, None), f"the recipe of {args.exp_dir}")
    continuer = UnitContinuer(args.exp_dir, override(kept, args, "average"), run)
    vocoder = None if args.vocoder_exp_dir is None else Speaker(args.vocoder_exp_dir, run=run)
    if vocoder is not None:
        continuer.spec.require_same(vocoder.spec, str(args.exp_dir), f"the vocoder in {args.vocoder_exp_dir}")
        vocoder.voices.number_of(args.speaker)  # who is unknown says nothing at all
    torch.set_flush_denormal(True)
    sampling, failed = override(SamplingConfig(), args), 0
    for name, prompt in zip(names, _prompts(args, continuer)):
        if isinstance(prompt, Failure):
            LOG.error(prompt.message)
            failed += 1
            continue
        try:
            continued = continuer.continued(prompt, config.max_sec, sampling, config.num_samples)
        except ValueError as error:
            LOG.error(f"{name}: {error}")
            failed += 1
            continue
        for called, codes in zip(outputs[name], continued):
            write_codes(codes, folder.path_of(called, CODES))
            if vocoder is not None:
                folder.write(_say(vocoder, codes, args.speaker, called), vocoder.sample_rate_hz, called)
    if failed:
        LOG.error(f"{failed} of {len(names)} prompts could not be gone on with.")
        sys.exit(1)
