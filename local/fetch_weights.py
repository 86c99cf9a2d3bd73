#!/usr/bin/env python3
"""Fetch pretrained networks ahead of time, for machines that have no network when they run; `--list` names them."""

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.names import known_names
from icefall_discrete.base.script import run_script
from icefall_discrete.base.weights import WEIGHTS_PREFIX, find_weights, known_weights
from icefall_discrete.base.weights_fetch import missing_files, weights_folder


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="names of weights, with or without weights: before it")
    parser.add_argument("--list", action="store_true", help="say what is known and which of it is there; fetch nothing")
    return parser


def main() -> None:
    """List, or fetch and print the folders."""
    args = get_parser().parse_args()
    names = [name.removeprefix(WEIGHTS_PREFIX) for name in args.names]
    if args.list:
        for entry in map(find_weights, names or known_weights()):
            missing = missing_files(entry)
            damaged = [name for name in missing if (entry.folder / name).exists()]
            state = (
                f"not here, {', '.join(damaged)} in {entry.folder} is damaged or another file"
                if damaged
                else "not here"
            )
            state = state if missing else f"in {entry.folder}"
            print(f"{entry.name}: {entry.description}; {entry.licence}, {entry.source}; {state}")
        return
    if not names:
        raise ValueError(f"no name of weights is given; {known_names(known_weights(), '')}")
    for name in names:
        print(weights_folder(name))


if __name__ == "__main__":
    run_script(main)
