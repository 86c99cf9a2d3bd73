"""`icefall-discrete fill`: the other codes of a codec for first ones, and their audio, by a perceptual model.

A file is an array of the first codes of frames, .npy of (frames, 1) or (frames,), as `icefall-discrete continue` writes
them of a language model of a codec's first codebook. Each becomes <out>/<its name>.npy, codes of all codebooks, and
<out>/<its name>.flac, which the codec decodes. --prompt, an array of all codes of some speech, tells the voice. With
--lm-exp-dir, a model of text and speech on first codes, each --text becomes text-1, text-2 and so on (VALL-E's two
networks, one after the other); a perceptual model that reads texts is told these, behind --prompt-text, that of the
prompt. The path of each file is printed when it is written. What cannot be filled is told on
standard error; the others are filled all the same, and the exit status is 1.
"""

import functools
import logging
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import one_sentence
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_recipe, settings_in
from icefall_discrete.inference.code_filler import CodeFiller
from icefall_discrete.inference.continue_command import CODES, write_codes
from icefall_discrete.inference.speaker import Speech, one_each, read_array
from icefall_discrete.inference.speaking import AudioFolder
from icefall_discrete.inference.text_and_speech import TextAndSpeech
from icefall_discrete.systems.perceptual.network import FillConfig
from icefall_discrete.systems.prediction import RunConfig

LOG = logging.getLogger(__name__)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `fill`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("first", nargs="*", metavar="FILE", help="arrays of first codes")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained perceptual model")
    parser.add_argument("--lm-exp-dir", type=Path, help="folder of a trained model of text and first codes")
    parser.add_argument("--text", action="append", default=[], help="a text that is said; may be given more than once")
    parser.add_argument("--language", default="", help="of the texts, where the model was told it")
    parser.add_argument("--prompt", type=Path, help="array of all codes of speech in the voice that is to be heard")
    parser.add_argument("--prompt-text", default="", help="what is said in --prompt, for models that read texts")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of what is written (default: this one)")
    for config in (FillConfig, RunConfig):
        add_flags(parser, config)
    add_flags(parser, CheckpointChoice, "average")
    return parser


def _first_codes(args: Any, model: Optional[TextAndSpeech]) -> Iterator[Tuple[str, str, Callable[[], Tensor]]]:
    """Names of files, then of texts, which `model` says; the text; and what gives the first codes (T, 1) of each."""
    for name, path in zip(one_each(args.first), args.first):
        yield name, "", functools.partial(read_array, Path(path))
    for name, text in zip(_names_of_texts(args.text), args.text):
        assert model is not None
        yield name, text, functools.partial(model.units, text, language=args.language)


def _require_texts(args: Any, reads_text: bool) -> None:
    """Raise ValueError where a model that reads texts is given codes or a prompt without, or another a text."""
    lacks = ", ".join(map(str, args.first)) or (str(args.prompt) if args.prompt and not args.prompt_text else "")
    if reads_text and lacks:
        raise ValueError(
            f"{args.exp_dir} reads what is said, and of {lacks} it is not known; say texts with --lm-exp-dir and "
            "--text, and tell that of a prompt with --prompt-text."
        )
    if args.prompt_text and not (reads_text and args.prompt):
        why = "it reads no texts" if not reads_text else "there is no --prompt"
        raise ValueError(f"--prompt-text is of no use to {args.exp_dir}: {why}; leave it away.")


def _names_of_texts(texts: Sequence[str]) -> List[str]:
    return [f"text-{number}" for number in range(1, len(texts) + 1)]


def _require_first_codes_of(spec: FeatureSpec, first: FeatureSpec, lm_exp_dir: Path, exp_dir: Path) -> None:
    """Raise ValueError unless `first`, what a model of texts says, can be the first codebook of `spec`."""
    (said, wanted) = (
        {"codebook_sizes": sizes, "frame_rate_hz": one.frame_rate_hz, "sample_rate_hz": one.sample_rate_hz}
        for one, sizes in ((first, first.codebook_sizes), (spec, spec.codebook_sizes[:1]))
    )
    wrong = [f"{name} {said[name]}, expected {wanted[name]}" for name in said if said[name] != wanted[name]]
    if wrong:
        raise ValueError(
            f"--lm-exp-dir {lm_exp_dir} says '{first.name}', which is not the first codebook of '{spec.name}' that "
            f"{exp_dir} fills: {'; '.join(wrong)}. Give a model of the same codec's first codebook."
        )


def main(prog: str, arguments: Sequence[str]) -> None:
    """Fill each array, print what was written, and end with status 1 if something could not be filled."""
    args = get_parser(prog).parse_args(arguments)
    if bool(args.text) != (args.lm_exp_dir is not None) or not (args.text or args.first):
        raise ValueError("there is nothing to fill: give files of first codes, or both --lm-exp-dir and --text.")
    read = [Path(name) for name in args.first] + [path for path in (args.prompt,) if path is not None]
    run, folder = override(RunConfig(), args), AudioFolder(args.out, read)
    for name in one_each([*args.first, *_names_of_texts(args.text)]):
        folder.path_of(name, CODES)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    kept, _ = settings_in(load_recipe(args.exp_dir, None), f"the recipe of {args.exp_dir}")
    filler = CodeFiller(args.exp_dir, override(kept, args, "average"), run)
    filler.config = override(filler.config, args)
    _require_texts(args, filler.reads_text)
    prompt = None if args.prompt is None else read_array(args.prompt)
    model = TextAndSpeech(args.lm_exp_dir, run=run) if args.text else None
    if model is not None:
        _require_first_codes_of(filler.spec, model.spec, args.lm_exp_dir, args.exp_dir)
    torch.set_flush_denormal(True)
    failed = 0
    for name, text, first in _first_codes(args, model):
        try:
            codes = filler.filled(first(), name, prompt, f"{args.prompt_text} {text}".strip())
        except (ValueError, FileNotFoundError) as error:
            sentence = one_sentence(error)
            LOG.error(sentence if name in sentence else f"{name}: {sentence}")
            failed += 1
            continue
        write_codes(codes, folder.path_of(name, CODES))
        folder.write(Speech(name, filler.audio(codes)), filler.spec.sample_rate_hz, name)
    if failed:
        LOG.error(f"{failed} of {len(args.first) + len(args.text)} could not be filled.")
        sys.exit(1)
