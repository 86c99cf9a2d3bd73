#!/usr/bin/env python3
"""Stage 1 of a recipe that verifies: pairs of a split's utterances, half of them of the same class, drawn by a seed."""

from pathlib import Path

from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.data.trials import draw_trials_of_splits


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--manifests-dir", type=Path, required=True, help="folder of <corpus>_cuts_<split>.jsonl.gz")
    parser.add_argument("--corpus", required=True, help="name of the manifests")
    parser.add_argument("--trials-dir", type=Path, required=True, help="output folder, for <split>.txt")
    parser.add_argument("--fact", default="speaker", help="what is verified (default: speaker)")
    parser.add_argument("--within", default="", help="a fact that both of a pair have in common (default: none)")
    parser.add_argument("--splits", default="dev,test", help="splits, by commas (default: dev,test)")
    parser.add_argument(
        "--num-trials",
        type=Number(int, minimum=1),
        default=10000,
        help="most pairs of each sort, of the same class and of different ones (default: 10000)",
    )
    parser.add_argument("--seed", type=Number(int, minimum=0), default=42, help="decides which (default: 42)")
    return parser


def main() -> None:
    """Draw the trials of each split."""
    args = get_parser().parse_args()
    splits = some_names_in(args.splits, "splits")
    corpus = (args.manifests_dir, args.corpus, args.fact, splits)
    draw_trials_of_splits(*corpus, args.trials_dir, args.num_trials, args.seed, args.within)


if __name__ == "__main__":
    run_script(main)
