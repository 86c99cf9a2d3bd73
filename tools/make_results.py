#!/usr/bin/env python3
"""Make RESULTS.md and its chart from the result files that scoring left.

Example: tools/make_results.py --results-dir egs/asterisk/ASR/results --title Asterisk
"""

import logging
import os
from pathlib import Path

from icefall_discrete.atomic_files import write_text
from icefall_discrete.config import StageParser, read_json
from icefall_discrete.results.chart import draw_chart, points_of
from icefall_discrete.results.ledger import add_to_ledger, read_ledger
from icefall_discrete.results.page import results_page
from icefall_discrete.stage import run_stage


def get_parser() -> StageParser:
    """Flags of this tool."""
    parser = StageParser(__doc__)
    parser.add_argument("--results-dir", type=Path, required=True, help="folder of result files (*.json)")
    parser.add_argument(
        "--exp-dir", type=Path, action="append", default=[], help="experiment whose result.json is added (repeatable)"
    )
    parser.add_argument("--output", type=Path, help="the page to write (default: RESULTS.md beside the results folder)")
    parser.add_argument("--title", default="Results", help="heading of the page and the chart (default: Results)")
    parser.add_argument("--test-split", default="test", help="split in the chart and the main columns (default: test)")
    parser.add_argument("--dev-split", default="dev", help="split beside it (default: dev)")
    parser.add_argument(
        "--published", type=Path, help="JSON list of figures from elsewhere: system, wer, cer, source (default: none)"
    )
    return parser


def main() -> None:
    """Add results, write the page, and the chart into the folder of results."""
    args = get_parser().parse_args()
    for exp_dir in args.exp_dir:
        add_to_ledger(args.results_dir, read_json(exp_dir / "result.json"))
    rows = read_ledger(sorted(args.results_dir.glob("*.json")))
    published = read_json(args.published) if args.published else []
    output = args.output or args.results_dir.parent / "RESULTS.md"
    points = points_of([row for row in rows if not row.get("search")], args.test_split)
    chart = None
    if points:
        chart_path = args.results_dir / "error_rate_against_bit_rate.png"
        title = f"{args.title}, {args.test_split} set: error rate against bit rate"
        draw_chart(chart_path, points, ("WER", "CER"), title)
        chart = Path(os.path.relpath(chart_path, output.parent)).as_posix()
    page = results_page(args.title, rows, args.test_split, args.dev_split, chart, published)
    write_text(output, page)
    logging.info(f"{output}: {len(rows)} rows" + (f", chart {chart_path}" if chart else ", no chart (no scored row)"))


if __name__ == "__main__":
    run_stage(main)
