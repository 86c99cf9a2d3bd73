#!/usr/bin/env python3
"""Stage 3, after extract_codes.py in several jobs (--num-shards): check the shards of one split and join them."""

from pathlib import Path

from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.extraction.sharding import find_num_shards, merge_shards


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the feature type, data/features/<type>")
    parser.add_argument("--split", required=True, help="name of the split, such as train")
    parser.add_argument(
        "--num-shards", type=Number(int, minimum=0), default=0, help="number of jobs (default: as are found)"
    )
    return parser


def main() -> None:
    """Merge one split."""
    args = get_parser().parse_args()
    merge_shards(args.out_dir, args.split, args.num_shards or find_num_shards(args.out_dir, args.split))


if __name__ == "__main__":
    run_script(main)
