#!/usr/bin/env python3
"""Make the rows that recipes want in their tables, conf/rows.json (see icefall_discrete/results/README.md), unattended.

It says beforehand how long that will take, goes on after a failure, and makes the pages of results in the end. Run it
again to go on: what is done, by a clean commit, is left out.

Example: tools/make_rows.py --recipe egs/asterisk/ASR --hours 3 --jobs 2
"""

import functools
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import List, Optional, Tuple

from icefall_discrete.base.environment import DIRTY, UNKNOWN, git_revision
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.experiment.environment_choice import ENVIRONMENTS
from icefall_discrete.results.planned_rows import Row, Trust, planned, wanted_rows
from icefall_discrete.results.row_costs import GUESS, Costs
from icefall_discrete.results.row_runs import Job, Outcome, RowMaker, device_of, make_pages, score_together
from icefall_discrete.results.wanted_rows import ROWS_FILE

ROOT = Path(__file__).resolve().parents[1]


def get_parser() -> ScriptParser:
    """Flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--recipe", type=Path, action="append", help=f"folder of a recipe (repeatable; default: all with {ROWS_FILE})"
    )
    parser.add_argument("--only", action="append", default=[], help="rows with this text in their name (repeatable)")
    parser.add_argument("--without", action="append", default=[], help="none with this text in it (repeatable)")
    parser.add_argument("--dry-run", action="store_true", help="say what is to do and how long it takes, and end")
    parser.add_argument(
        "--hours",
        type=Number(float, minimum=0),
        default=0.0,
        help="begin no row that would end later (default: 0, none)",
    )
    parser.add_argument(
        "--jobs",
        type=Number(int, minimum=1),
        default=1,
        help="rows that train side by side, a thread each (default: 1)",
    )
    parser.add_argument("--since", default="", help="make rows of commits before this one again (default: of none)")
    parser.add_argument("--allow-dirty", action="store_true", help="with changes that no commit holds, for trying")
    parser.add_argument(
        "--env",
        default="auto",
        choices=ENVIRONMENTS,
        help="environment of run.sh: k2, portable or auto (default: auto)",
    )
    return parser


def _as_ctrl_c(number: int, _: Optional[FrameType]) -> None:
    signal.signal(number, signal.SIG_IGN)  # a terminal that is closed may send it twice, which would cut the end short
    raise KeyboardInterrupt


def end_with_commands() -> None:
    """See to it that what ends this, such as the end of its terminal, ends its commands too; not what nohup ignores."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _as_ctrl_c)


def require_clean(allow_dirty: bool) -> None:
    """Raise ValueError unless what runs is what a commit holds."""
    commit = git_revision()
    if commit == UNKNOWN:
        raise ValueError(
            f"{ROOT} is no git clone, so that nobody could repeat its rows; make a clone, and run it there."
        )
    if commit.endswith(DIRTY) and not allow_dirty:
        raise ValueError(
            f"{ROOT} has changes that no commit holds, so that nobody could repeat its rows; commit them (git status "
            "lists them; pages and results may differ), or give --allow-dirty to try."
        )


def jobs_of(rows: List[Row], here: Path, trust: Trust) -> Tuple[List[Job], str]:
    """The rows of a recipe that are to do, and a table of all."""
    costs, jobs, lines = Costs(here), [], []
    for row in rows:
        if row.refusal:
            lines.append([str(row), f"refused: {row.refusal}", "", ""])
            continue
        to_do = row.what_is_to_do(trust, device_of(row))
        cost = costs.of(row, begins_anew=bool(row.mistrusted_experiment(trust))) if to_do else None
        jobs += [Job(row, cost.minutes, GUESS in cost.known_from)] if cost else []
        lines.append(
            [str(row), to_do or "done", f"{cost.minutes:.0f}" if cost else "", cost.known_from if cost else ""]
        )
    return jobs, text_table([str(here), "state", "minutes", "known"], lines)


def require_some(recipes: List[Path], only: List[str], without: List[str]) -> None:
    """Raise ValueError, naming what there is, if no row has the words of `only` in its name and none of `without`."""
    if any(wanted_rows(here, only, without) for here in recipes):
        return
    names = list(dict.fromkeys(str(Row(here, options)) for here in recipes for options in wanted_rows(here)))
    asked = ", ".join(f"'{text}'" for text in only) or "anything"
    but = " without " + ", ".join(f"'{text}'" for text in without) if without else ""
    flags = "--only, --without" if without else "--only"
    raise ValueError(f"{flags}: no row has {asked}{but} in its name; there are: {'; '.join(names) or 'none'}.")


def hours_and_minutes(minutes: float) -> str:
    """As in 5:07 h."""
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d} h"


def main() -> None:
    """Say what is to do, do it, make the pages, name what is left."""
    args = get_parser().parse_args()
    end_with_commands()
    require_clean(args.allow_dirty)
    recipes = args.recipe or sorted(path.parents[1] for path in (ROOT / "egs").glob(f"*/*/{ROWS_FILE}"))
    trust, further = Trust(args.since, args.allow_dirty), ["--env", args.env]
    require_some(recipes, args.only, args.without)
    rows: List[Row] = []
    jobs: List[Job] = []
    for here in recipes:
        wanted = wanted_rows(here, args.only, args.without)
        found = [planned(here, options, os.environ, further) for options in wanted]
        to_do, table = jobs_of(found, here, trust)
        rows, jobs = rows + found, jobs + to_do
        print(table)
    minutes = sum(job.minutes for job in jobs)
    beside = f", {hours_and_minutes(minutes / args.jobs)} with {args.jobs} side by side" if args.jobs > 1 else ""
    guesses = sum(job.is_guess for job in jobs)
    told = f"; of {guesses} it is a guess, as nothing like them was run here" if guesses else ""
    print(f"{len(jobs)} of {len(rows)} rows to do: about {hours_and_minutes(minutes)}{beside}{told}.", flush=True)
    if args.dry_run:
        return
    say, check = functools.partial(print, flush=True), functools.partial(require_clean, args.allow_dirty)
    maker = RowMaker(trust, further, args.jobs, args.hours, say, check)
    outcomes = maker.make(jobs)
    joined = score_together(rows, trust)
    for outcome in joined:
        say(f"{'done' if outcome.is_done else 'FAILED'}: {outcome.row}: {outcome.told}")
    if jobs or joined:
        make_pages([row for row in rows if not row.refusal])
    failed = [outcome for outcome in (*outcomes, *joined) if not outcome.is_done]
    failed += [Outcome(row, row.refusal, False) for row in rows if row.refusal]
    left = [job.row for job in jobs if not any(outcome.row is job.row for outcome in outcomes)]
    for row in left:
        print(f"left for later: {row}")
    for outcome in failed:
        print(f"FAILED: {outcome.row}: {outcome.told}")
    made = sum(outcome.is_done for outcome in outcomes)
    print(f"{made} rows made, {len(failed)} failed, {len(left)} left for later.")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    run_script(main)
