#!/usr/bin/env python3
"""Which --attention-scale is best on dev, for rescoring with the attention decoder: one search, many scales.

Decode the test set with the one that it prints. icefall reports the best of such scales on the test set itself.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Tuple

from icefall_discrete.base.flags import ScriptParser, add_flags, given_settings, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, from_dict, setting
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.decoding.methods import PREFIXES_RESCORED, require_used
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, load_recipe
from icefall_discrete.systems.asr.scale_sweep import errors_by_scale
from icefall_discrete.systems.prediction import RunConfig

LOG = logging.getLogger("sweep_attention_scale")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What is tried, on what."""

    split: str = setting("dev", "split whose errors decide")
    scales: Tuple[float, ...] = setting(
        (0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 9.0),
        "attention scales to try, each once",
        minimum=0,
        distinct=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)


def get_parser() -> ScriptParser:
    """The flags: files, checkpoints, what is tried, and the search."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument(
        "--recipe-config", type=Path, help="recipe with sections average, decode (default: <exp-dir>/recipe.json)"
    )
    add_flags(parser, SweepConfig)
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, DecodeConfig, "decode")
    add_flags(parser, RunConfig)
    return parser


def main() -> None:
    """Search once, rescore with each scale, and print the errors of all."""
    args = get_parser().parse_args()
    recipe, where = load_recipe(args.exp_dir, args.recipe_config), str(args.recipe_config or args.exp_dir / RECIPE_FILE)
    choice = override(from_dict(CheckpointChoice, recipe.get("average", {}), where), args, "average")
    config = override(from_dict(DecodeConfig, recipe.get("decode", {}), where), args, "decode")
    require_used(PREFIXES_RESCORED, given_settings(args, "decode"))
    config = dataclasses.replace(config, decoding_method=PREFIXES_RESCORED)
    asked, run, experiment = override(SweepConfig(), args), override(RunConfig(), args), Experiment(args.exp_dir)
    settings = experiment.settings()
    if settings.system != "asr":
        raise ValueError(
            f"{args.exp_dir} holds a system '{settings.system}', which is no recogniser: nothing to sweep."
        )
    cuts, _ = load_feature_cuts(args.feature_dir / f"{asked.split}.jsonl.gz", experiment.spec())
    cuts = chosen_languages(cuts, settings.filter.languages)
    trained = trained_system(experiment, resolve_choice(choice, args.exp_dir), run.torch_device())
    errors = errors_by_scale(trained, cuts, config, run, asked.scales, f"Decoding {asked.split}")
    rows = [[f"{scale:g}", f"{counts.rate:.2f}", str(counts.errors)] for scale, counts in errors.items()]
    print(text_table(["attention scale", f"{asked.split} WER %", "errors"], rows))
    best = min(errors, key=lambda scale: errors[scale].errors)
    print(f"Best on {asked.split}: --decoding-method {PREFIXES_RESCORED} --attention-scale {best:g}")


if __name__ == "__main__":
    run_script(main)
