"""What scripts share that recognise a split in several ways with one trained recogniser: flags, settings, the model."""

from pathlib import Path
from typing import Any, NamedTuple, Type

from lhotse import CutSet

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, load_recipe, settings_in
from icefall_discrete.systems.prediction import RunConfig, Trained


class Swept(NamedTuple):
    """The search that the flags ask for, how it is run, the recogniser, and the cuts of the split."""

    decode: DecodeConfig
    run: RunConfig
    trained: Trained
    cuts: CutSet


def sweep_parser(description: str, config: Type[object]) -> ScriptParser:
    """The flags: files, checkpoints, the search, and what is tried, the settings of the dataclass `config`."""
    parser = ScriptParser(description)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument(
        "--recipe-config", type=Path, help="recipe with sections average, decode (default: <exp-dir>/recipe.json)"
    )
    add_flags(parser, config)
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, DecodeConfig, "decode")
    add_flags(parser, RunConfig)
    return parser


def swept(args: Any, split: str) -> Swept:
    """What the flags of `sweep_parser` name.

    Raises:
      ValueError: if that is no recogniser. FileNotFoundError, ValueError: for what is not there, or of another form.
    """
    recipe, where = load_recipe(args.exp_dir, args.recipe_config), str(args.recipe_config or args.exp_dir / RECIPE_FILE)
    choice, decode = settings_in(recipe, where)
    choice, decode = override(choice, args, "average"), override(decode, args, "decode")
    run, experiment = override(RunConfig(), args), Experiment(args.exp_dir)
    settings = experiment.settings()
    if settings.system != "asr":
        raise ValueError(
            f"{args.exp_dir} holds a system '{settings.system}', which is no recogniser: nothing to sweep."
        )
    cuts, _ = load_feature_cuts(args.feature_dir / f"{split}.jsonl.gz", experiment.spec())
    cuts = chosen_languages(cuts, settings.filter.languages)
    trained = trained_system(experiment, resolve_choice(choice, args.exp_dir), run.torch_device())
    return Swept(decode, run, trained, cuts)
