"""Makes wanted rows: the recipe's own run.sh, row after row or side by side, going on after a failure.

Stages are done once, and training goes on where it was, so that the same command goes on with what was ended early.
Trainings run side by side; all that writes to folders which rows share is done by one row at a time.
"""

import glob
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Set, Tuple

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.device import resolve
from icefall_discrete.base.provenance import set_aside
from icefall_discrete.metrics.facts import leading_metrics
from icefall_discrete.results.findings import findings_page, read_findings
from icefall_discrete.results.ledger import Json, commits_of
from icefall_discrete.results.overview import overview_page, read_corpora
from icefall_discrete.results.planned_rows import DECODING, RESULTS, RUN, SCORING, TRAINING, Row, Trust, planned
from icefall_discrete.results.wanted_rows import LANGUAGES

LOGS = Path("exp/rows")  # of the output of each row, in the recipe's folder
_PARTS = (("0", str(TRAINING - 1)), (str(TRAINING), str(TRAINING)), (str(DECODING), str(SCORING)))


class Job(NamedTuple):
    """A row that is to do, and the minutes that it is thought to take, which may be a guess."""

    row: Row
    minutes: float
    is_guess: bool = False


class Outcome(NamedTuple):
    """What became of a row: what its line says behind its name; whether it is there."""

    row: Row
    told: str
    is_done: bool


def log_of(row: Row) -> Path:
    """Where all is kept that run.sh says of a row: no hidden file, though its features may be a path that begins so."""
    return row.here / LOGS / f"{str(row).replace('/', '-').replace(' ', '_').lstrip('.-')}.log"


class RowMaker:
    """Makes rows.

    Args:
      trust: which results count. further: options of run.sh that say how, not what. num_jobs: rows at a time.
      hours: no row is begun that is not thought to end within so many; 0: no limit. say: takes a line for each row.
      check: raises ValueError if no row may be begun now.
    """

    def __init__(
        self,
        trust: Trust,
        further: Sequence[str],
        num_jobs: int,
        hours: float,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self._trust, self._further, self._num_jobs, self._say = trust, list(further), num_jobs, say
        self._check = check
        self._deadline = time.monotonic() + 3600.0 * hours if hours else float("inf")
        self._one_at_a_time, self._lock = threading.Lock(), threading.Lock()
        self._busy: Set[Path] = set()
        self._failed: Set[Path] = set()
        self._running: Dict[int, subprocess.Popen] = {}
        self._stopped = False
        self.env = {**os.environ, **({"OMP_NUM_THREADS": "1"} if num_jobs > 1 else {})}

    def make(self, jobs: Sequence[Job]) -> List[Outcome]:
        """Make all rows that there is time for, the first ones first; an interruption ends their commands."""
        waiting, outcomes = list(jobs), []

        def work() -> None:
            while True:
                job = self._next(waiting)
                if job is None:
                    return
                try:
                    outcome = self._outcome(job.row)
                finally:
                    self._busy.discard(job.row.exp_dir)
                if self._stopped:
                    return
                outcomes.append(outcome)
                self._say(
                    f"{time.strftime('%H:%M')} {'done' if outcome.is_done else 'FAILED'}: {job.row}: {outcome.told}"
                )

        with ThreadPoolExecutor(self._num_jobs) as pool:
            workers = [pool.submit(work) for _ in range(self._num_jobs)]
            try:
                for worker in workers:
                    worker.result()
            except BaseException:
                self._end_all()
                raise
        return outcomes

    def _next(self, waiting: List[Job]) -> Optional[Job]:
        """The first row that fits into the time left and whose experiment no other row is at work on; None: no more."""
        while not self._stopped:
            with self._lock:
                left = (self._deadline - time.monotonic()) / 60.0
                fitting = [job for job in waiting if job.minutes <= left]
                for job in fitting:
                    if job.row.exp_dir not in self._busy:
                        waiting.remove(job)
                        self._busy.add(job.row.exp_dir)
                        return job
            if not fitting:
                return None
            time.sleep(_POLL_SEC)
        return None

    def _outcome(self, row: Row) -> Outcome:
        if row.exp_dir in self._failed:
            return Outcome(row, "left out, as its model could not be trained", False)
        began = time.monotonic()
        log = log_of(row)
        try:
            self._check()
            log.parent.mkdir(parents=True, exist_ok=True)
            self._make_way(row)
            for first, last in _PARTS:
                if self._run_part(row, first, last, log):
                    if int(last) <= TRAINING:
                        self._failed.add(row.exp_dir)
                    return Outcome(row, f"{_last_line(log)} (all of it: {log})", False)
            result = row.result(device_of(row))
        except (OSError, ValueError) as error:
            return Outcome(row, str(error), False)
        if result is None:
            return Outcome(row, f"it ran, but {row.results_dir} holds no such row; see {log}", False)
        why = row.mistrust_result(self._trust, result)
        if why:
            return Outcome(row, f"it ran, but its result is {why}", False)
        return Outcome(row, f"{figures_of(result)}; {(time.monotonic() - began) / 60.0:.1f} minutes in all", True)

    def _make_way(self, row: Row) -> None:
        """Move an experiment aside that does not count, which is never removed; see to it that it is decoded anew."""
        # A row before it may have made their experiment anew meanwhile.
        now = planned(row.here, row.options, self.env, self._further) if row.settings_changed else row
        aside = [row.exp_dir] if now.mistrusted_experiment(self._trust) else self._decoded_by_others(row)
        for place in set_aside(*aside):
            self._say(f"{time.strftime('%H:%M')} moved aside: {place}")
        for number in (DECODING, SCORING):
            row.marker(number).unlink(missing_ok=True)

    def _decoded_by_others(self, row: Row) -> List[Path]:
        """What a commit that does not count decoded, and would be taken as it is: the files of its result's search."""
        result, method = row.result(device_of(row)), row.scoring.get("decoding-method")
        if not method or result is None or not row.mistrust_result(self._trust, result):
            return []
        end = f"-{(result.get('decoding') or {}).get('suffix')}"
        found = sorted((row.exp_dir / method).glob(f"*{glob.escape(end)}*"))
        return [path for path in found if path.name.rpartition(end)[2][:1] in ("", ".")]

    def _run_part(self, row: Row, first: str, last: str, log: Path) -> int:
        """Run some stages of a row; returns the status."""
        command = [f"./{RUN}", "--stage", first, "--stop-stage", last, *row.arguments, *self._further]
        if first == last:
            return self._run(command, row.here, log)
        with self._one_at_a_time:
            return self._run(command, row.here, log)

    def _run(self, command: Sequence[str], here: Path, log: Path) -> int:
        if self._stopped:
            return 1
        with open(log, "ab") as stream:
            stream.write(f"$ {' '.join(command)}\n".encode())
            stream.flush()
            # A session of its own, so that all of it can be ended.
            process = subprocess.Popen(
                command, cwd=here, env=self.env, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
            self._running[process.pid] = process
            try:
                return process.wait()
            finally:
                self._running.pop(process.pid, None)

    def _end_all(self) -> None:
        self._stopped = True
        for process in list(self._running.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


_POLL_SEC = 0.2


def score_together(rows: Sequence[Row], trust: Trust) -> List[Outcome]:
    """Score as one what is to be, of the rows that are all there, and is not yet."""
    groups: Dict[Tuple[Path, FrozenSet[Tuple[str, str]]], List[Row]] = {}
    for row in rows:
        if row.together and not row.refusal:
            same = frozenset(option for option in row.options if option[0] != LANGUAGES)
            groups.setdefault((row.here, same), []).append(row)
    return [outcome for group in groups.values() if (outcome := _together(group, trust)) is not None]


def _together(group: Sequence[Row], trust: Trust) -> Optional[Outcome]:
    """The outcome of scoring rows as one; None if it was done before, or some of them are not there yet."""
    first, device = group[0], device_of(group[0])
    results = [row.result(device) for row in group]
    if any(result is None or row.mistrust_result(trust, result) for row, result in zip(group, results)):
        return None
    before = [row.joined_result(device) for row in group]
    made_by = {commit for result in results if result for commit in commits_of(result)}
    if all(
        one and not row.mistrust_result(trust, one) and made_by <= {*commits_of(one)} for row, one in zip(group, before)
    ):
        return None
    method, features = first.scoring["decoding-method"], first.training["feature-dir"]
    output = f"exp/{first.together}/{Path(features).name}_{method}.json"
    words = [word for row in group for word in ("--exp-dir", row.scoring["exp-dir"])]
    words += ["--decoding-method", method, "--feature-dir", features, "--recipe", first.together, "--output", output]
    script = Path(first.words("score.py")[1]).with_name("score_together.py")
    done = subprocess.run(
        [sys.executable, str(script), *words, "--results-dir", RESULTS], cwd=first.here, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1]
        return Outcome(first, f"it and others could not be scored as {first.together}: {said}", False)
    found = first.joined_result(device)
    return Outcome(first, f"scored with others as {first.together}: {figures_of(found) if found else output}", True)


def device_of(row: Row) -> str:
    """The kind of device that it is trained on here."""
    return resolve(row.training.get("device", "auto"), "training").type


def figures_of(result: Json) -> str:
    """The figures of each set of a result in a few words, and the minutes of its training."""
    sets, minutes = result["sets"], (result.get("training") or {}).get("minutes")
    shown = [
        f"{split} {', '.join(f'{one.title} {one.with_interval(scored)}' for one in leading_metrics([result]))}"
        for split, scored in sets.items()
    ]
    return "; ".join([*shown, *([f"{minutes:.1f} minutes of training"] if minutes is not None else [])])


def make_pages(rows: Sequence[Row]) -> None:
    """Make the page of each recipe anew, once, that of all and the findings. RuntimeError if one cannot be made.

    A recipe without results, whose rows all failed, has no page to be made.
    """
    pages = {row.page[1:]: row.here for row in rows if row.results_dir.is_dir()}
    for words, here in pages.items():
        done = subprocess.run([sys.executable, *words], cwd=here, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1]
            raise RuntimeError(f"{here}: the page of results could not be made: {said}")
    for root in {here.resolve().parents[2] for here in pages.values()}:
        write_text(root / "RESULTS.md", overview_page(read_corpora(root / "egs")))
        questions = root / "docs" / "findings.json"
        if questions.is_file():
            write_text(questions.with_suffix(".md"), findings_page(read_findings(questions, root / "egs")))


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
