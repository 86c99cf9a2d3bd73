"""`icefall-discrete push`: a trained model of any system as a model folder, for a hub (--repo) or by hand (--folder).

The folder holds weights as safetensors, settings, pieces, tokenizer and a card with corpus, features, figures, commit
and command; no pickle, no audio, no transcript. Without --repo nothing leaves this machine.
"""

import logging
import tempfile
from pathlib import Path
from typing import Sequence

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.inference.hub import require_id, upload
from icefall_discrete.inference.model_folder import make_model_folder

LOG = logging.getLogger(__name__)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `push`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument(
        "--license", required=True, help="of the model, as hubs know it: apache-2.0, cc-by-4.0, other ..."
    )
    parser.add_argument("--repo", help="ORG/NAME on the hub of Hugging Face, which is made if need be")
    parser.add_argument("--folder", type=Path, help="folder to make, instead of sending anything")
    parser.add_argument("--name", help="what the card calls the model (default: that of --repo or --folder)")
    parser.add_argument("--private", action="store_true", help="make the repository one that only you can see")
    return parser


def main(prog: str, arguments: Sequence[str]) -> None:
    """Make the folder, and send it if asked to."""
    args = get_parser(prog).parse_args(arguments)
    if (args.repo is None) == (args.folder is None):
        raise ValueError("give either --repo ORG/NAME, or --folder for a model folder on this machine.")
    if args.folder is not None:
        make_model_folder(args.exp_dir, args.folder, args.name or args.folder.resolve().name, args.license)
        LOG.info(f"{args.folder}: a model folder, an experiment that its README.md says how to use")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        make_model_folder(args.exp_dir, folder, args.name or require_id(args.repo), args.license)
        LOG.info(f"{args.repo}: {upload(folder, args.repo, args.private)}")
