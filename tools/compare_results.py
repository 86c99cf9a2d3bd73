#!/usr/bin/env python3
"""Say whether one run is better than another on the same utterances, or whether that may be chance.

Both results are of stage 8 and of the same test sets; utterances are drawn for both together (metrics/paired.py).

Example: tools/compare_results.py egs/asterisk/ASR/results/fbank_default_cpu.json \
egs/asterisk/ASR/results/whisper_base_l5l0_2km1000_default_cpu.json
"""

from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.metrics.facts import Metric, known_metrics
from icefall_discrete.metrics.paired import UTTERANCES, paired_difference
from icefall_discrete.results.ledger import read_result


def get_parser() -> ScriptParser:
    """Flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("first", type=Path, help="result file that the other is compared with")
    parser.add_argument("second", type=Path, help="the other result file")
    return parser


def compared_set(name: str, first: Dict[str, Any], second: Dict[str, Any]) -> List[List[str]]:
    """Rows of the table of one set: metric, both figures, difference with interval, how sure the second is better."""
    rows = []
    for metric in known_metrics().values():
        found = paired_difference(first, second, metric.name)
        if found is not None:
            better = 1 - found.lower if metric.higher_is_better else found.lower
            rows.append([name, metric.head, *_figures(metric, first, second), f"± {metric.shown(found.half_width)}"])
            rows[-1].append(f"{100 * better:.1f} %")
    return rows


def _figures(metric: Metric, first: Dict[str, Any], second: Dict[str, Any]) -> List[str]:
    one, other = metric.of(first), metric.of(second)
    change = "" if one is None or other is None else f"{other - one:+.{metric.decimals}f}"
    return [metric.shown(one), metric.shown(other), change]


def main() -> None:
    """Print the table of all sets that both results have."""
    args = get_parser().parse_args()
    first, second = read_result(args.first), read_result(args.second)
    rows = [
        row
        for name in first["sets"]
        if name in second["sets"]
        for row in compared_set(name, first["sets"][name], second["sets"][name])
    ]
    if not rows:
        raise ValueError(
            f"{args.first} and {args.second} have no set in common of which both keep the same '{UTTERANCES}'; "
            "score both again on the same cuts (run.sh --stage 8)."
        )
    print(text_table(["set", "", "first", "second", "difference", "95 %", "second is better in"], rows))


if __name__ == "__main__":
    run_script(main)
