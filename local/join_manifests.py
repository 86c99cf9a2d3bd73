#!/usr/bin/env python3
"""Stage 1 of a recipe of several corpora: their manifests, which lie in one folder, joined to those of one."""

from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.data.joined_manifests import join_manifests


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--manifests-dir", type=Path, required=True, help="folder of <corpus>_cuts_<split>.jsonl.gz")
    parser.add_argument("--corpora", required=True, help="those to join, by commas, such as prompts,games")
    parser.add_argument("--corpus", required=True, help="name of the manifests that are made, such as both")
    parser.add_argument("--splits", default="train,dev,test", help="splits to join (default: train,dev,test)")
    return parser


def main() -> None:
    """Join the manifests of each split."""
    args = get_parser().parse_args()
    join_manifests(args.manifests_dir, args.corpora.split(","), args.corpus, args.splits.split(","))


if __name__ == "__main__":
    run_script(main)
