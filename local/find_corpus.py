#!/usr/bin/env python3
"""Stage 0 where a corpus cannot be fetched without signing or asking: is it there? An archive of it is unpacked."""

import logging
from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.data.corpus_files import find_corpus


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the corpus")
    parser.add_argument(
        "--archive", type=Path, help="its archive, unpacked where the folder is missing (default: none)"
    )
    parser.add_argument("--advice", required=True, help="where to get it and what to put where, for the error")
    return parser


def main() -> None:
    """Find the corpus, or say what to do."""
    args = get_parser().parse_args()
    unpacked = find_corpus(args.folder, args.archive, args.advice)
    logging.info(f"{args.folder}: {'unpacked' if unpacked else 'found'}")


if __name__ == "__main__":
    run_script(main)
