"""`icefall-discrete resynthesise`: audio files to tokens and back to audio, by a vocoder or by a codec's own decoder.

The tokens are those that travel with the vocoder's experiment, --exp-dir; with --feature-type instead, a codec makes
and decodes them. Each audio file becomes <out>/<its name>.flac, as long as the original, at the rate of the tokens; its
path is printed when it is written. Without --speaker the voice is that of nobody in particular. At the end
--classifier-exp-dir tells how often the voice that was asked for is heard, --verifier-exp-dir how like that of the
originals it is. A file that cannot be read is told on standard error; the others are made all the same, and the exit
status is 1.
"""

import logging
import sys
from pathlib import Path
from typing import Any, Sequence

import torch

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.extraction.audio_figures import AudioSource
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio
from icefall_discrete.inference.speaker import Resynthesiser, one_each
from icefall_discrete.inference.speaking import AudioFolder, add_speaker_flags, make_speaker
from icefall_discrete.inference.voice_judge import add_judge_flags, load_voice_judges
from icefall_discrete.metrics.facts import known_metrics
from icefall_discrete.metrics.reconstruction import ReconstructionFigures
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.tokenizers.contract import AudioRejected

LOG = logging.getLogger(__name__)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `resynthesise`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("audio", nargs="+", metavar="FILE", help="audio files")
    parser.add_argument("--exp-dir", type=Path, help="folder of the trained vocoder")
    parser.add_argument("--feature-type", help="instead: a codec that decodes its tokens, a name or a path")
    parser.add_argument(
        "--tokenizer-dir", type=Path, help="folder with the fitted tokenizer (default: <exp-dir>/tokenizer)"
    )
    add_judge_flags(parser, "default: --speaker, else what it hears in the original")
    add_flags(parser, AudioConfig)
    add_speaker_flags(parser)
    return parser


def make_resynthesiser(args: Any) -> Resynthesiser:
    """What the flags ask for. Raises ValueError unless they say either a vocoder or a codec."""
    if (args.exp_dir is None) == (args.feature_type is None):
        raise ValueError(
            "give either --exp-dir, a trained vocoder, or --feature-type, a codec that decodes its tokens."
        )
    audio = override(AudioConfig(), args)
    if args.exp_dir is not None:
        return Resynthesiser.of_experiment(make_speaker(args, args.exp_dir), audio, args.tokenizer_dir)
    return Resynthesiser.of_codec(args.feature_type, args.tokenizer_dir, audio)


def tell(figures: ReconstructionFigures) -> None:
    """Log the means of what was measured of voices."""
    scores, metrics = figures.scores(), known_metrics()
    for name in scores:
        if name in metrics:
            LOG.info(f"{metrics[name].head}: {metrics[name].with_interval(scores)}")


def main(prog: str, arguments: Sequence[str]) -> None:
    """Resynthesise, print what was written, and end with status 1 if a file failed."""
    args = get_parser(prog).parse_args(arguments)
    names, folder = one_each(args.audio), AudioFolder(args.out, [Path(path) for path in args.audio])
    originals = AudioSource(".", {name: Path(path) for path, name in zip(args.audio, names)})
    said = AudioSource(args.out, {name: folder.path_of(name) for name in names})
    run = override(RunConfig(), args)
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    asked = args.asked or (args.speaker if args.classifier_exp_dir else "")
    maker = make_resynthesiser(args)
    judges = load_voice_judges(args.verifier_exp_dir, args.classifier_exp_dir, asked)
    torch.set_flush_denormal(True)
    failed, figures = 0, ReconstructionFigures()
    for path, name in zip(args.audio, names):
        try:
            folder.write(maker.resynthesise(path, args.speaker), maker.spec.sample_rate_hz, name)
            figures.add(judges.figures(name, originals, said))
        except (BadAudio, AudioRejected) as error:
            failed += 1
            LOG.error(str(error))
    tell(figures)
    if failed:
        LOG.error(f"{failed} of {len(names)} files could not be resynthesised.")
        sys.exit(1)
