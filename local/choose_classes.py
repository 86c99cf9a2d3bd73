#!/usr/bin/env python3
"""Stage 1 of a recipe that tells classes apart: those cuts of a corpus' manifests whose class is not too rare."""

from pathlib import Path

from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.data.class_corpora import choose_classes


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--manifests-dir", type=Path, required=True, help="folder of <corpus>_cuts_<split>.jsonl.gz")
    parser.add_argument("--source", required=True, help="name of the manifests that are there")
    parser.add_argument("--corpus", required=True, help="name of the manifests that are made")
    parser.add_argument("--fact", required=True, help="what the class is: language, speaker, gender, or a custom field")
    parser.add_argument(
        "--min-utterances",
        type=Number(int, minimum=1),
        default=1,
        help="fewest training utterances of a class; cuts of a rarer one are left out (default: 1)",
    )
    parser.add_argument(
        "--splits", default="train,dev,test", help="splits, the training split first (default: train,dev,test)"
    )
    return parser


def main() -> None:
    """Choose the cuts of each split."""
    args = get_parser().parse_args()
    splits = some_names_in(args.splits, "splits")
    choose_classes(args.manifests_dir, args.source, args.corpus, args.fact, splits, args.min_utterances)


if __name__ == "__main__":
    run_script(main)
