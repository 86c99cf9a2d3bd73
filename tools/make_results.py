#!/usr/bin/env python3
"""Make RESULTS.md and its chart from the result files that scoring left.

Example: tools/make_results.py --results-dir egs/asterisk/ASR/results --title Asterisk
"""

import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Sequence

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.metrics.facts import first_metric, leading_metrics
from icefall_discrete.results.chart import draw_chart, points_of
from icefall_discrete.results.label_chart import draw_label_chart, label_curves, label_section
from icefall_discrete.results.ledger import add_to_ledger, read_ledger, read_result, traceable
from icefall_discrete.results.noise import NoiseResults, conditions_of, noise_section, read_noise_results
from icefall_discrete.results.noise_chart import draw_noise_chart, figure_curves
from icefall_discrete.results.page import compared, results_page
from icefall_discrete.results.published import read_published
from icefall_discrete.results.seeds import over_seeds

Json = Dict[str, Any]


def get_parser() -> ScriptParser:
    """Flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--results-dir", type=Path, required=True, help="folder of result files (*.json)")
    parser.add_argument(
        "--exp-dir", type=Path, action="append", default=[], help="experiment whose result.json is added (repeatable)"
    )
    parser.add_argument("--output", type=Path, help="the page to write (default: RESULTS.md beside the results folder)")
    parser.add_argument("--title", default="Results", help="heading of the page and the chart (default: Results)")
    parser.add_argument(
        "--test-split", default="test", help="splits in the tables, by commas, the first in the chart (default: test)"
    )
    parser.add_argument("--dev-split", default="dev", help="splits beside them, by commas (default: dev)")
    parser.add_argument(
        "--published",
        type=Path,
        help="JSON list of figures from elsewhere, as results/published.py says (default: none)",
    )
    return parser


def noise_sections(results_dir: Path, output: Path, tests: Sequence[str], title: str) -> List[str]:
    """A section, with its chart, for each test split that was scored with noise (see tools/noise.sh)."""
    found = read_noise_results(results_dir)
    sections = []
    for split in tests:
        rows = [row for row in found.rows if conditions_of(list(row["sets"]), split)]
        if not rows:
            continue
        results, chart = NoiseResults(rows, found.stability), None
        if figure_curves(rows, split):
            chart_path = results_dir / f"noise_{split}.png"
            draw_noise_chart(chart_path, results, split, f"{title}, {split} set with noise")
            chart = Path(os.path.relpath(chart_path, output.parent)).as_posix()
        sections.append(noise_section(results, split, chart))
    return sections


def label_sections(results_dir: Path, output: Path, rows: Sequence[Json], test: str, title: str) -> List[str]:
    """A section, with its chart, if feature types were trained on several amounts of labels."""
    curves = label_curves(rows, test, conf_dirs(results_dir))
    if not curves:
        return []
    metrics = leading_metrics([row for curve in curves for _, row in curve.rows])
    kind = metrics[0].kind
    chart = results_dir / f"{kind.replace(' ', '_')}_against_hours_of_labels.png"
    draw_label_chart(chart, curves, metrics, test, f"{title}, {test} set: {kind} against hours of labels")
    return [label_section(curves, metrics, test, Path(os.path.relpath(chart, output.parent)).as_posix())]


def conf_dirs(results_dir: Path) -> List[Path]:
    """Where the feature types of the recipe lie, whose results these are."""
    return [results_dir.parent / "conf" / "features"]


def main() -> None:
    """Add results, write the page, and the chart into the folder of results."""
    args = get_parser().parse_args()
    for exp_dir in args.exp_dir:
        add_to_ledger(args.results_dir, read_result(exp_dir / "result.json"))
    if not args.results_dir.is_dir() and args.published is None:
        raise FileNotFoundError(
            f"--results-dir {args.results_dir} does not exist, and an empty page would replace what is there; "
            "correct it, or give --published."
        )
    rows = traceable(read_ledger(sorted(args.results_dir.glob("*.json"))))
    published = read_published(args.published) if args.published else []
    output = args.output or args.results_dir.parent / "RESULTS.md"
    tests, devs = some_names_in(args.test_split, "test-split"), some_names_in(args.dev_split, "dev-split")
    own = over_seeds([row for row in rows if not row.get("search")])
    points = points_of([row for group in compared(own) for row in group], tests[0], conf_dirs(args.results_dir))
    chart = None
    if points:
        metrics = [metric for metric in leading_metrics(own) if any(metric.name in point.figures for point in points)]
        kind = first_metric(own).kind
        chart_path = args.results_dir / f"{kind.replace(' ', '_')}_against_bit_rate.png"
        draw_chart(chart_path, points, metrics, f"{args.title}, {tests[0]} set: {kind} against bit rate")
        chart = Path(os.path.relpath(chart_path, output.parent)).as_posix()
    page = results_page(args.title, rows, tests, devs, chart, published)
    sections = label_sections(args.results_dir, output, own, tests[0], args.title)
    sections += noise_sections(args.results_dir, output, tests, args.title)
    write_text(output, "\n".join([page, *sections]))
    logging.info(f"{output}: {len(rows)} rows" + (f", chart {chart_path}" if chart else ", no chart (no scored row)"))


if __name__ == "__main__":
    run_script(main)
