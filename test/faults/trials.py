"""Trials: a stage is disturbed, then run again; the outcome is that of the undisturbed run, or one sentence."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from outcome import changed, differing, holdings
from pipeline import ROOT, FaultStage, stages, write_inputs

FOLDER = Path(__file__).resolve().parent
KINDS = ("kill", "full", "unreadable", "away", "changed")
NOT_SENTENCES = ("Traceback", "terminate called", "Segmentation", "Bus error", "Logging error", "core dumped")
# Where nothing but an error can be read: it may be opened, but each read of it fails.
UNREADABLE = "/proc/self/mem"
_MOST_ROOM = 6000


class Answer(NamedTuple):
    """How a run of a stage ended."""

    status: int
    said: str
    writes: int = 0
    reads: int = 0
    hit: bool = False
    seconds: float = 0.0

    @property
    def fault(self) -> str:
        """What is wrong with how it ended; empty: nothing."""
        bad = next((words for words in NOT_SENTENCES if words in self.said), "")
        lines = self.said.strip().splitlines() or [""]
        if bad:
            return f"{bad}: {lines[-1]}"
        if self.status not in (0, -9) and not any(line.startswith("error: ") for line in lines[-1:]):
            return f"status {self.status} without a sentence: {lines[-1]}"
        return ""


class Workshop:
    """The toy pipeline, run once undisturbed, with the folder before and after each stage.

    Args:
      folder: for all of it. names: stages to try; those before them are run too. None: all. only: stages that are run
        at all; empty: no choice.
    """

    def __init__(self, folder: Path, names: Optional[List[str]] = None, only: Sequence[str] = ()) -> None:
        self.folder, self.work = folder, folder / "work"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "test" / "toys"), str(FOLDER)]),
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "TQDM_DISABLE": "1",
        }
        self._log = open(folder / "nursery.log", "w+")  # noqa: SIM115
        self._nursery = subprocess.Popen(
            [sys.executable, str(FOLDER / "nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        assert self._nursery.stdout.readline() == "ready\n", (folder / "nursery.log").read_text()
        write_inputs(self.work)
        has_k2 = subprocess.run([sys.executable, "-c", "import k2"], capture_output=True).returncode == 0
        self.stages: Dict[str, FaultStage] = {}
        self.undisturbed: Dict[str, Answer] = {}
        self.expected: Dict[str, Dict[str, str]] = {}
        known = [one for one in stages(self.work) if has_k2 or not one.needs_k2]
        last = max((place for place, one in enumerate(known) if names and one.name in names), default=len(known) - 1)
        for stage in (one for one in known[: last + 1] if not only or one.name in only):
            self._run_once(stage)

    def _run_once(self, stage: FaultStage) -> None:
        shutil.copytree(self.work, self._before(stage), symlinks=True)
        answer = self.run(stage)
        assert answer.status == 0, f"{stage.name}: {answer.said}"
        shutil.copytree(self.work, self._after(stage), symlinks=True)
        self.stages[stage.name], self.undisturbed[stage.name] = stage, answer
        self.expected[stage.name] = holdings(self.work)

    def _before(self, stage: FaultStage) -> Path:
        return self.folder / "before" / stage.name

    def _after(self, stage: FaultStage) -> Path:
        return self.folder / "after" / stage.name

    def close(self) -> None:
        """End the nursery."""
        self._nursery.stdin.close()
        self._nursery.wait()
        self._log.close()

    def put_back(self, stage: FaultStage, is_done: bool) -> None:
        """The working folder as it was before the stage, or after it."""
        shutil.rmtree(self.work)
        shutil.copytree(self._after(stage) if is_done else self._before(stage), self.work, symlinks=True)

    def run(self, stage: FaultStage, fault: Optional[Dict[str, Any]] = None, kill_after: float = 0.0) -> Answer:
        """Run the stage, with a fault or without."""
        log = self.folder / "log.txt"
        script, *arguments = stage.command
        request = {"script": script, "arguments": arguments, "output": str(log), "below": str(self.work)}
        self._nursery.stdin.write(json.dumps({**request, "fault": fault, "kill_after": kill_after}) + "\n")
        self._nursery.stdin.flush()
        answer = json.loads(self._nursery.stdout.readline())
        return Answer(said=log.read_text(errors="replace"), **answer)


class Verdict(NamedTuple):
    """Outcome of a trial. what: the fault in words. wrong: what went wrong; empty: nothing."""

    stage: str
    kind: str
    what: str
    wrong: str = ""


def try_one(shop: Workshop, name: str, kind: str, generator: random.Random) -> Verdict:
    """Disturb a stage once, at a moment that the generator draws."""
    stage = shop.stages[name]
    is_done = generator.random() < 0.25
    if kind == "changed":
        return _changed(shop, stage, generator)
    shop.put_back(stage, is_done)
    if kind == "away":
        return _away(shop, stage, is_done, generator)
    before = shop.undisturbed[name]
    most = before.reads if kind == "unreadable" else before.writes
    fault: Optional[Dict[str, Any]] = {"kind": kind, "at": generator.randint(1, max(1, most)), "room": 0}
    fault["room"] = generator.choice((0, generator.randint(0, _MOST_ROOM)))
    kill_after = 0.0
    if kind == "kill" and generator.random() < 0.3:
        fault, kill_after = None, generator.uniform(0.01, max(0.02, before.seconds))
    answer = shop.run(stage, fault, kill_after)
    what = f"{'done before, ' if is_done else ''}{fault or f'killed after {kill_after:.2f} s'}"
    return Verdict(name, kind, what, answer.fault or _again(shop, stage))


def _again(shop: Workshop, stage: FaultStage) -> str:
    """Run undisturbed; what is wrong with that, or with what is there then."""
    answer = shop.run(stage)
    if answer.status != 0 or answer.fault:
        return f"the next run: {answer.fault or answer.said.strip().splitlines()[-1]}"
    return "; ".join(differing(holdings(shop.work), shop.expected[stage.name])[:3])


def _inputs(shop: Workshop, stage: FaultStage) -> List[Path]:
    made = set(shop.expected[stage.name]) - set(holdings(shop._before(stage)))
    found = {path for pattern in stage.inputs for path in shop.work.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.relative_to(shop.work).as_posix() not in made)


def _away(shop: Workshop, stage: FaultStage, is_done: bool, generator: random.Random) -> Verdict:
    """An input that cannot be read for one run."""
    path = generator.choice(_inputs(shop, stage))
    content = path.read_bytes()
    path.unlink()
    path.symlink_to(UNREADABLE)
    answer = shop.run(stage)
    path.unlink()
    path.write_bytes(content)
    what = f"{'done before, ' if is_done else ''}{path.relative_to(shop.work)} unreadable"
    return Verdict(stage.name, "away", what, answer.fault or _again(shop, stage))


def _changed(shop: Workshop, stage: FaultStage, generator: random.Random) -> Verdict:
    """An input that is another one when the stage is run again: as if it had been so the first time, or a sentence."""
    shop.put_back(stage, False)
    path = generator.choice(_inputs(shop, stage))
    old = path.read_bytes()
    new = changed(old, path.suffix == ".gz", generator)
    what = f"{path.relative_to(shop.work)}: {len(old)} bytes, now {len(new)}"
    path.write_bytes(new)
    fresh = shop.run(stage)
    if fresh.fault:
        return Verdict(stage.name, "changed", what, f"anew: {fresh.fault}")
    wanted = holdings(shop.work, with_set_aside=False)
    shop.put_back(stage, True)
    kept = holdings(shop.work)
    path.write_bytes(new)
    again = shop.run(stage)
    if again.fault:
        return Verdict(stage.name, "changed", what, again.fault)
    there = holdings(shop.work)
    changed_name = path.relative_to(shop.work).as_posix()
    if again.status != 0:
        contents = set(there.values())
        lost = [name for name, content in kept.items() if content not in contents and name != changed_name]
        lost = [name for name in lost if name not in holdings(shop._before(stage)) and not name.endswith(".json")]
        return Verdict(stage.name, "changed", what, f"lost: {', '.join(lost)}" if lost else "")
    if fresh.status != 0:
        reason = fresh.said.strip().splitlines()[-1]
        return Verdict(stage.name, "changed", what, f"not noticed, though anew it says: {reason[:200]}")
    left = differing(holdings(shop.work, with_set_aside=False), wanted)
    return Verdict(stage.name, "changed", what, f"stale: {'; '.join(left[:3])}" if left else "")
