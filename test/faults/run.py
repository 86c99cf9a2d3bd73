#!/usr/bin/env python3
"""Disturb every stage of a toy pipeline many times: killed, disk full, files unreadable for a while or changed.

After each fault the stage is run again; the outcome must be that of the undisturbed run, or one sentence, with nothing
lost. A table at the end says how often each fault was tried and went wrong. Example: test/faults/run.py --rounds 200
"""

import collections
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Counter, List, Tuple

from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent / "toys")]

from trials import KINDS, Verdict, Workshop, try_one  # noqa: E402

from icefall_discrete.base.flags import ScriptParser  # noqa: E402
from icefall_discrete.base.script import run_script  # noqa: E402


def get_parser() -> ScriptParser:
    """The flags."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="in each, every stage gets each fault (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: 0)")
    parser.add_argument("--stages", default="", help="names of stages, by commas (default: all)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"faults (default: {','.join(KINDS)})")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long (default: 0, never)")
    return parser


def table(verdicts: List[Verdict], kinds: List[str]) -> str:
    """Trials, and among them those that went wrong, by stage and fault."""
    tried: Counter[Tuple[str, str]] = collections.Counter((one.stage, one.kind) for one in verdicts)
    wrong: Counter[Tuple[str, str]] = collections.Counter((one.stage, one.kind) for one in verdicts if one.wrong)
    lines = [f"{'stage':<16}" + "".join(f"{kind:>14}" for kind in kinds)]
    for stage in dict.fromkeys(one.stage for one in verdicts):
        cells = (f"{wrong[stage, kind]} of {tried[stage, kind]}" for kind in kinds)
        lines.append(f"{stage:<16}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join([*lines, f"wrong: {sum(wrong.values())} of {len(verdicts)}"])


def main() -> None:
    """Try, and show what went wrong."""
    args = get_parser().parse_args()
    names, kinds = ([one for one in text.split(",") if one] for text in (args.stages, args.kinds))
    began, verdicts = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder), names or None)
        names = names or list(shop.stages)
        trials = [(number, stage, kind) for number in range(args.rounds) for stage in names for kind in kinds]
        bar = tqdm(trials, unit="trial")
        for number, stage, kind in bar:
            if args.minutes and time.monotonic() - began > 60 * args.minutes:
                break
            verdict = try_one(shop, stage, kind, random.Random(f"{args.seed} {number} {stage} {kind}"))
            verdicts.append(verdict)
            if verdict.wrong:
                bar.write(f"{stage}, round {number}, {kind}, {verdict.what}: {verdict.wrong}")
        shop.close()
    print(table(verdicts, kinds))
    if any(verdict.wrong for verdict in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
