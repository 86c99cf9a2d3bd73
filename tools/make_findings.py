#!/usr/bin/env python3
"""Make docs/findings.md: questions, answers, and the rows that they rest on, from the result files of the recipes.

Example: tools/make_findings.py --egs-dir egs --findings docs/findings.json --output docs/findings.md
"""

import logging
from pathlib import Path

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.results.findings import findings_page, read_findings, summary


def get_parser() -> ScriptParser:
    """Flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--egs-dir", type=Path, default=Path("egs"), help="folder of the recipes (default: egs)")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("docs/findings.json"),
        help="questions, answers, rows (default: docs/findings.json)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("docs/findings.md"), help="page to write (default: docs/findings.md)"
    )
    return parser


def main() -> None:
    """Read questions and results, write the page."""
    args = get_parser().parse_args()
    findings = read_findings(args.findings, args.egs_dir)
    write_text(args.output, findings_page(findings))
    wanted, run = summary(findings)
    logging.info("%s: %d questions, %d of %d rows were run", args.output, len(findings.questions), run, wanted)


if __name__ == "__main__":
    run_script(main)
