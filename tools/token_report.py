#!/usr/bin/env python3
"""Make the page that compares the tokens of a corpus: what they cost, what they say, and how they sound.

One page a feature type, and one over all with a chart, from the result files of its recipes (recognisers, vocoders,
`results/units/*.json` of local/measure_units.py) and its folders of features; figures of the literature beside them.

Example: tools/token_report.py --corpus egs/asterisk --output egs/asterisk/tokens
"""

import logging
from pathlib import Path

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.results.token_files import read_literature, read_tokens
from icefall_discrete.results.token_report import MARK, draw_report_chart, feature_page, page_name, report_page

CHART, PAGE = "tokens.png", "README.md"


def get_parser() -> ScriptParser:
    """Flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of a corpus's recipes, egs/<corpus>")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pages and the chart")
    parser.add_argument("--split", default="test", help="set whose figures are shown (default: test)")
    parser.add_argument("--title", help="heading (default: Tokens of <corpus>)")
    parser.add_argument("--literature", type=Path, help="figures of others, JSON (default: the package's)")
    return parser


def require_own(page: Path) -> None:
    """Raise ValueError if somebody else wrote the page that is to be written, or its folder is a file."""
    if page.parent.exists() and not page.parent.is_dir():
        raise ValueError(f"--output {page.parent} is a file, expected a folder for pages; give another name.")
    if page.exists() and MARK.encode() not in page.read_bytes():
        raise ValueError(
            f"{page} is there already, and is no page of this tool; give --output a folder of its own, such as "
            f"{page.parent / 'tokens'}."
        )


def main() -> None:
    """Read everything, write the chart and the pages."""
    args = get_parser().parse_args()
    facts, literature = read_tokens(args.corpus, args.split), read_literature(args.literature)
    title = args.title or f"Tokens of {args.corpus.resolve().name}"
    require_own(args.output / PAGE)
    args.output.mkdir(parents=True, exist_ok=True)
    conf_dirs = sorted(args.corpus.glob("*/conf/features"))
    drawn = draw_report_chart(args.output / CHART, facts, title, conf_dirs)
    page = report_page(title, facts, args.split, CHART if drawn else "", literature)
    write_text(args.output / PAGE, page)
    for one in facts:
        write_text(args.output / page_name(one.name), feature_page(one, facts, args.split))
    logging.info(f"{args.output / PAGE}: {len(facts)} feature types, a page each")


if __name__ == "__main__":
    run_script(main)
