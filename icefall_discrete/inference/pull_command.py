"""`icefall-discrete pull`: a model folder from a hub, or from another folder, checked file by file.

The folder is an experiment: what takes --exp-dir takes it, and so does train.py --init-from.
"""

import logging
from pathlib import Path
from typing import Sequence

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.inference.hub import model_dir
from icefall_discrete.inference.model_folder import copy_model_folder

LOG = logging.getLogger(__name__)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `pull`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("model", metavar="MODEL", help="ORG/NAME on the hub of Hugging Face, or a model folder")
    parser.add_argument("--to", type=Path, required=True, help="folder to make")
    parser.add_argument("--revision", help="commit, tag or branch (default: the newest)")
    return parser


def main(prog: str, arguments: Sequence[str]) -> None:
    """Fetch, check, copy."""
    args = get_parser(prog).parse_args(arguments)
    copy_model_folder(model_dir(args.model, args.revision), args.to)
    LOG.info(f"{args.to}: {args.model}; its README.md says how to use it")
