"""Average the weights of the last epochs of an experiment into one file, averaged.pt."""

import logging
from pathlib import Path

from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.training.averages import AverageConfig, average_epochs, epoch_path, saved_epochs

LOG = logging.getLogger("average")


def get_parser() -> ScriptParser:
    """The stage's flags."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment folder")
    parser.add_argument("--recipe-config", type=Path, help="JSON file whose section `average` gives the defaults")
    add_flags(parser, AverageConfig)
    return parser


def main() -> None:
    """Write averaged.pt, and average.json that says of what it is the average."""
    args = get_parser().parse_args()
    section = read_recipe(args.recipe_config).get("average", {}) if args.recipe_config else {}
    config = override(from_dict(AverageConfig, section, str(args.recipe_config)), args)
    config = config.resolved(saved_epochs(args.exp_dir), str(args.exp_dir))
    made_of = {"epoch": config.epoch, "avg": config.avg, "use_averaged_model": config.use_averaged_model}
    target, record = args.exp_dir / "averaged.pt", args.exp_dir / "average.json"
    newest = epoch_path(args.exp_dir, config.epoch).stat().st_mtime
    if target.is_file() and target.stat().st_mtime > newest and record.is_file() and read_json(record) == made_of:
        LOG.info(f"{target} is the average of {config.avg} epochs up to {config.epoch} already: nothing to do")
        return
    state = average_epochs(args.exp_dir, config.epoch, config.avg, config.use_averaged_model)
    record.unlink(missing_ok=True)
    save_checkpoint(target, {"model": state})
    write_json(record, made_of)
    LOG.info(f"{target}: average of {config.avg} epochs up to {config.epoch}")


if __name__ == "__main__":
    run_script(main)
