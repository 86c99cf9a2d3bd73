"""Which model a command uses: an experiment folder, or a model by its name."""

from pathlib import Path
from typing import Any

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.experiment.model_list import check_model_folder, is_published
from icefall_discrete.inference.hub import model_dir


def add_model_flags(parser: ScriptParser) -> None:
    """Add the flags that `chosen_exp_dir` reads."""
    parser.add_argument("--exp-dir", type=Path, help="folder of the trained experiment")
    parser.add_argument("--model", help="instead: ORG/NAME on the hub of Hugging Face, or a model folder")
    parser.add_argument("--revision", help="of --model: commit, tag or branch (default: the newest)")


def chosen_exp_dir(args: Any) -> Path:
    """The experiment folder that the flags ask for; a model of a hub is fetched unless it is there already.

    Raises:
      ValueError: unless one of --exp-dir and --model is given, or for a model that cannot be had or is not whole.
    """
    if (args.exp_dir is None) == (args.model is None):
        raise ValueError("give either --exp-dir, a trained experiment, or --model, a model by its name.")
    if args.model is not None:
        return model_dir(args.model, args.revision)
    return check_model_folder(args.exp_dir) if is_published(args.exp_dir) else args.exp_dir
