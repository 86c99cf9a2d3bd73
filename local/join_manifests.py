#!/usr/bin/env python3
"""Stage 1 of a recipe of several corpora: their manifests, which lie in one folder, joined to those of one.

Reads <corpus>_cuts_<split>.jsonl.gz of each of --corpora and writes that of --corpus, a split after the other, with the
cuts of all, in the order in which the corpora are named. Each corpus keeps its own split. Every cut must have a text, a
language, and an id that occurs once in all splits; all must be at one sampling rate, and no corpus may lack a split.

Example: local/join_manifests.py --manifests-dir data/manifests --corpora asterisk,fillets --corpus seven
"""

from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.names import some_names_in
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
    corpora, splits = some_names_in(args.corpora, "corpora"), some_names_in(args.splits, "splits")
    join_manifests(args.manifests_dir, corpora, args.corpus, splits)


if __name__ == "__main__":
    run_script(main)
