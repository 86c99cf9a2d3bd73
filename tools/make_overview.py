#!/usr/bin/env python3
"""Make the page that compares feature types over all corpora, from the results and published figures of every recipe.

Example: tools/make_overview.py --egs-dir egs --output RESULTS.md
"""

import logging
from pathlib import Path

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.results.overview import overview_page, read_corpora


def get_parser() -> ScriptParser:
    """Flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--egs-dir", type=Path, default=Path("egs"), help="folder of the recipes (default: egs)")
    parser.add_argument("--output", type=Path, default=Path("RESULTS.md"), help="page to write (default: RESULTS.md)")
    return parser


def main() -> None:
    """Read every recipe, write the page."""
    args = get_parser().parse_args()
    corpora = read_corpora(args.egs_dir)
    if not corpora:
        raise FileNotFoundError(f"{args.egs_dir} holds no recipe with results; give the folder egs with --egs-dir.")
    write_text(args.output, overview_page(corpora))
    found = (f"{corpus.name} {corpus.task} ({len(corpus.rows)} rows)" for corpus in corpora)
    logging.info("%s: %s", args.output, ", ".join(found))


if __name__ == "__main__":
    run_script(main)
