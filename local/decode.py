#!/usr/bin/env python3
"""Stage 7: average checkpoints of an experiment and write what its system says of the cuts of some splits.

The model is rebuilt from the experiment folder; no flag describes its shape. A split that was decoded with the same
checkpoints, cuts and settings is not decoded again.
"""

import logging
import sys
from pathlib import Path
from typing import Any, List, Tuple

import torch
from lhotse import CutSet

from icefall_discrete.base import environment
from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.flags import ScriptParser, add_flags, override, value_of_flag
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.provenance import Provenance, Rules, digest_of_file
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.checksums import known_checksums
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, files_of, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, load_recipe
from icefall_discrete.systems import DEFAULT_SYSTEM
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.prediction import Json, OutputFiles, Prediction, RunConfig, Trained

LOG = logging.getLogger("decode")


def get_parser(system: str = DEFAULT_SYSTEM) -> ScriptParser:
    """The flags of this stage: files, checkpoints, and what a system can be told."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument("--splits", default="dev,test", help="splits to decode, by commas (default: dev,test)")
    parser.add_argument(
        "--recipe-config", type=Path, help="recipe with sections average, decode (default: <exp-dir>/recipe.json)"
    )
    add_flags(parser, CheckpointChoice, "average")
    system_stages(system).prediction.add_flags(parser)
    add_flags(parser, RunConfig)
    return parser


def decode_settings(args: Any, prediction: Prediction) -> Tuple[CheckpointChoice, Any]:
    """Checkpoints and the system's settings: defaults, over them the recipe's, then the flags."""
    recipe: Json = load_recipe(args.exp_dir, args.recipe_config)
    where = str(args.recipe_config or args.exp_dir / RECIPE_FILE)
    choice = from_dict(CheckpointChoice, recipe.get("average", {}), where)
    config = prediction.read_settings(recipe, where, args)
    return override(choice, args, "average"), config


def decode_split(split: str, cuts: CutSet, trained: Trained, config: Any, run: RunConfig, files: OutputFiles) -> Json:
    """Decode one split and write its files; returns the facts of its record."""
    cuts = chosen_languages(cuts, trained.settings.filter.languages)
    prediction = system_stages(trained.settings.system).prediction
    facts = prediction.predict(split, trained, cuts, config, run, files)
    if facts["num_too_short"]:
        LOG.warning(
            f"{split}: {facts['num_too_short']} of {facts['num_utterances']} cuts are too short for the model, so that "
            f"nothing is said of them, such as {facts['too_short'][0]}."
        )
    LOG.info(
        f"{split}: {facts['num_utterances']} utterances, {facts['audio_sec']:.0f} s of audio in "
        f"{facts['wall_sec']:.1f} s (RTF {facts['decode_rtf']:.4f}); {files.said(split)}"
    )
    return facts


def _said(choice: CheckpointChoice) -> Json:
    """The choice for records, without what records of before do not know where it is not used."""
    return {name: value for name, value in to_dict(choice).items() if name != "checkpoint" or value}


def decode_splits(args: Any, files: OutputFiles, choice: CheckpointChoice, config: Any) -> List[str]:
    """Decode the splits that were not decoded from the same checkpoints and cuts before; returns all of them."""
    experiment = Experiment(args.exp_dir)
    experiment.targets()  # which are held against their record
    run = override(RunConfig(), args)
    device = run.torch_device()
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.set_flush_denormal(True)
    checkpoints = files_of(choice, args.exp_dir)
    decoding = {
        "recipe": args.recipe_config.stem if args.recipe_config else None,
        "feature_dir": str(args.feature_dir.resolve()),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else environment.cpu_name(),
    }
    # By their bytes, as in records of before.
    prediction = experiment.stages().prediction
    inputs = [{path.name: digest_of_file(path, as_bytes=True)} for path in prediction.inputs(config)]
    trained = None
    splits = some_names_in(args.splits, "splits")
    for split in splits:
        manifest = args.feature_dir / f"{split}.jsonl.gz"
        cuts, _ = load_feature_cuts(manifest, experiment.spec())
        settings = {**_said(choice), **prediction.noted(config), "inputs": inputs}
        codes = known_checksums(manifest)
        made_from = Provenance({path.name: digest_of_file(path) for path in [*checkpoints, manifest]}, settings)
        made_from.inputs.update(codes)
        if files.is_decoded(split, made_from, Rules(later=tuple(codes))):
            LOG.info(f"{files.said(split)} exists, made from the same checkpoints and cuts: nothing to do")
            continue
        if trained is None:
            LOG.info(f"Averaging over {', '.join(path.name for path in checkpoints)}")
            trained = trained_system(experiment, choice, device)
        files.record(split).unlink(missing_ok=True)  # what is written now is not what it tells of
        facts = decode_split(split, cuts, trained, config, run, files)
        record = {"made_from": made_from.to_json(), **decoding, **facts, "environment": environment.describe()}
        write_json(files.record(split), record)
    return splits


def main() -> None:
    """Choose checkpoints and settings, decode, and leave word for scoring of what was decoded last."""
    exp_dir = value_of_flag("exp-dir", sys.argv[1:])
    is_there = exp_dir is not None and (Path(exp_dir) / "config.json").exists()
    args = get_parser(Experiment(Path(exp_dir)).stages().settings.system if is_there else DEFAULT_SYSTEM).parse_args()
    prediction = Experiment(args.exp_dir).stages().prediction
    choice, config = decode_settings(args, prediction)
    choice = resolve_choice(choice, args.exp_dir)
    settings = Experiment(args.exp_dir).settings()
    files = prediction.output(args.exp_dir, settings, config, choice.suffix, choice.use_averaged_model)
    with at_work(files.folder / LOCK_FILE, str(files.folder)):
        splits = decode_splits(args, files, choice, config)
        write_json(files.pointer, {"suffix": files.suffix, "splits": splits})


if __name__ == "__main__":
    run_script(main)
