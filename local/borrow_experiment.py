#!/usr/bin/env python3
"""Stage 2 of noise: the files of a trained experiment, and of no older one, in a folder that decoding may write to."""

from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.folder import require_experiment


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument("--noise-dir", type=Path, required=True, help="folder in it, for links to its files")
    return parser


def main() -> None:
    """Link them."""
    args = get_parser().parse_args()
    require_experiment(args.exp_dir)
    if args.noise_dir.resolve().parent != args.exp_dir.resolve():
        raise ValueError(f"--noise-dir {args.noise_dir} is not in {args.exp_dir}, expected a folder right in it.")
    args.noise_dir.mkdir(exist_ok=True)
    for path in args.noise_dir.iterdir():
        if path.is_symlink():
            path.unlink()
    for path in sorted(args.exp_dir.iterdir()):
        if path.is_file() and path.name != "result.json" and not path.name.startswith("."):
            (args.noise_dir / path.name).symlink_to(Path("..") / path.name)


if __name__ == "__main__":
    run_script(main)
