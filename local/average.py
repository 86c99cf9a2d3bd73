#!/usr/bin/env python3
"""Average the weights of the last epochs of an experiment into one file, averaged.pt, which may be handed on."""

import logging
from pathlib import Path
from typing import List

from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.atomic_files import require_new_folder
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.provenance import Provenance, Rules, changed_file, digest_of_file
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.experiment.folder import hand_on
from icefall_discrete.experiment.transcription_files import RECIPE_FILE, load_recipe
from icefall_discrete.training.averages import (
    AVERAGE_RECORD,
    AVERAGED,
    AverageConfig,
    average_epochs,
    epoch_path,
    epochs_of,
    require_epochs,
    save_averaged,
    trained_epochs,
)

LOG = logging.getLogger("average")


def get_parser() -> ScriptParser:
    """The stage's flags."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment folder")
    parser.add_argument("--recipe-config", type=Path, help="recipe whose `average` holds (default: the experiment's)")
    parser.add_argument("--to", type=Path, help="folder to make, with averaged.pt and what decoding needs beside it")
    add_flags(parser, AverageConfig, "average")
    return parser


def is_average_of(record: Path, made_from: Provenance, target: Path, files: List[Path]) -> bool:
    """Whether the average there was made from this; a record of before knows no files, and goes by their time."""
    before = Provenance.read_if_there(record)
    if before is None or before.inputs:
        return before is not None and made_from.is_same(before) and changed_file(target.parent, before) is None
    older = all(path.stat().st_mtime < target.stat().st_mtime for path in files)
    return older and made_from.is_same(before, Rules(later=tuple(made_from.inputs)))


def make_average(config: AverageConfig, exp_dir: Path) -> None:
    """Write averaged.pt and its record, unless they are there."""
    files = [epoch_path(exp_dir, epoch) for epoch in epochs_of(config)]
    made_from = Provenance({path.name: digest_of_file(path) for path in files}, to_dict(config))
    target, record = exp_dir / AVERAGED, exp_dir / AVERAGE_RECORD
    with at_work(exp_dir / f"{LOCK_FILE}-average", str(target)):
        if target.is_file() and is_average_of(record, made_from, target, files):
            LOG.info(f"{target} is the average of {config.avg} epochs up to {config.epoch} already: nothing to do")
            return
        state = average_epochs(exp_dir, config.epoch, config.avg, config.use_averaged_model)
        save_averaged(exp_dir, state, made_from)
    LOG.info(
        f"{target}: average of {config.avg} epochs up to {config.epoch}; decode.py --checkpoint {target.name} takes it"
    )


def main() -> None:
    """Write averaged.pt, and average.json that says of what it is the average; then what is handed on, if asked for."""
    args = get_parser().parse_args()
    recipe = args.recipe_config or args.exp_dir / RECIPE_FILE
    section = load_recipe(args.exp_dir, args.recipe_config).get("average", {})
    config = override(from_dict(AverageConfig, section, str(recipe)), args, "average")
    config = config.resolved(trained_epochs(args.exp_dir), str(args.exp_dir))
    require_epochs(args.exp_dir, epochs_of(config))
    if args.to is not None:
        require_new_folder(args.to)
    make_average(config, args.exp_dir)
    if args.to is not None:
        size = hand_on(args.exp_dir, args.to)
        LOG.info(f"{args.to}: {size / 1e6:.1f} MB; decode.py, transcribe and train.py --init-from take it as it is")


if __name__ == "__main__":
    run_script(main)
