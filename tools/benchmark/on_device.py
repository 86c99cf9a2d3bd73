#!/usr/bin/env python3
"""All benchmarks that are worth an accelerator, one after the other, each for some minutes at most.

What each prints goes to `<out>/<name>.md` with its command and the device's name, and to the screen, line by line: what
is there stays if it is killed. One that fails or takes too long is told in the end, and the others go on. `--small 1`
is the same on toys, to see that the commands work.

Example: tools/benchmark/on_device.py --device cuda --out figures
"""

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import List, NamedTuple, Tuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting

HERE = Path(__file__).resolve().parent
CODES = "--front-ends conv1d --rate-hz 50"


class Check(NamedTuple):
    """A benchmark: the name of what it says, its script, its flags on the device, and those of the toy."""

    name: str
    script: str
    flags: str
    small: str

    def command(self, device: str, small: bool) -> List[str]:
        """The script with its flags."""
        return [self.script, "--device", device, *shlex.split(self.small if small else self.flags)]


TOY_STEP = f"--size tiny --batch 2 --frames 60 --labels 6 --steps 1 --threads 1 --only ours,plain {CODES}"
STEP = f"--frames 600 --threads 4 {CODES} --only 'ours,ours in bf16,plain'"
COMPILED = STEP.replace("plain", "ours in bf16 compiled")
TOY_UNITS = "--cuts '' --num-cuts 3 --min-sec 0.3 --max-sec 0.5 --dim 64 --num-layers 2 --layer 1 --num-clusters 8"
UNITS = "--cuts '' --num-cuts 600 --min-sec 4 --max-sec 16 --batch-duration 200 --dtype float32,float16"
CHECKS = (
    Check("train_medium", "bench_train_step.py", f"--size medium --batch 80 {STEP}", TOY_STEP),
    Check("train_large", "bench_train_step.py", f"--size large --batch 60 {STEP}", TOY_STEP),
    Check("units", "bench_extraction.py", UNITS, f"{TOY_UNITS} --batch-duration 1"),
    Check(
        "kmeans",
        "bench_kmeans.py",
        "--cuts '' --frames 100000 --dim 1024 --clusters 1000 --growth 0 --only ours",
        "--cuts '' --frames 300 --dim 4 --clusters 5 --growth 0 --only ours",
    ),
    Check(
        "transducer_loss",
        "bench_rnnt_loss.py",
        "--batch 80 --frames 300 --labels 60",
        "--batch 2 --frames 10 --labels 3 --vocab-size 9 --joiner-dim 8 --prune-range 2 --repeats 1 --threads 1",
    ),
    Check("optimiser", "bench_optimizer.py", "--sizes medium,large", "--sizes tiny --repeats 1 --threads 1"),
    Check("searches", "bench_rtf.py", "--repeats 2", "--repeats 1 --batches 1,2 --frames 6 --vocab-size 12"),
    Check("train_compiled", "bench_train_step.py", f"--size medium --batch 80 {COMPILED}", TOY_STEP),
)


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Where, what, and for how long."""

    device: str = setting("cuda", "cpu, cuda or cuda:N")
    out: str = setting("figures", "folder of what is printed")
    only: Tuple[str, ...] = setting((), f"these of: {', '.join(check.name for check in CHECKS)}")
    small: int = setting(0, "1: on toys", choices=(0, 1))
    limit: int = setting(180, "seconds that one may take at most", minimum=1)


def name_of(device: str) -> str:
    """What the device is called, and by which torch it is used."""
    kind = torch.device(device)
    named = torch.cuda.get_device_name(kind) if kind.type == "cuda" else kind.type
    return f"{named}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"


def chosen(config: BenchConfig) -> List[Check]:
    """The checks that are asked for.

    Raises:
      ValueError: for an unknown name, or a device that is not there.
    """
    names = [check.name for check in CHECKS]
    unknown = [name for name in config.only if name not in names]
    if unknown:
        raise ValueError(f"--only names '{unknown[0]}'; known: {', '.join(names)}.")
    if torch.device(config.device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"--device is {config.device}, which torch {torch.__version__} does not find; give cpu --small 1."
        )
    return [check for check in CHECKS if check.name in (config.only or names)]


def run(check: Check, config: BenchConfig, head: str) -> str:
    """Run one and keep what it prints; why it has no figures, empty if it has."""
    command = check.command(config.device, bool(config.small))
    print(f"\n{check.name}: {shlex.join(command)}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    page = Path(config.out) / f"{check.name}.md"
    page.write_text(f"# {check.name}\n\n{head}\n\n`tools/benchmark/{shlex.join(command)}`\n\n")
    with open(page, "a") as kept, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-u", str(HERE / command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=errors,  # no pipe, which bars of progress would fill
            text=True,
            env=environment,
            start_new_session=True,  # so that its own processes end with it
        )
        watch = threading.Timer(config.limit, _end, [process])
        watch.start()
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                print(line, end="", file=kept, flush=True)
            process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            in_time = watch.is_alive()
            watch.cancel()
        errors.seek(0)
        problem = (errors.read().strip().splitlines() or ["no word"])[-1]
    if not in_time:
        return f"took more than --limit {config.limit} seconds; what it printed until then is in {page}"
    return problem if process.returncode else ""


def _end(process: "subprocess.Popen[str]") -> None:
    """Kill a benchmark and what it has begun."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    """Run all that are asked for; the status is 1 if one has no figures."""
    config = config_from_flags(BenchConfig, __doc__)
    checks = chosen(config)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    Path(config.out).mkdir(parents=True, exist_ok=True)
    head = name_of(config.device)
    problems = {check.name: run(check, config, head) for check in checks}
    failed = {name: problem for name, problem in problems.items() if problem}
    print(f"\n{len(checks) - len(failed)} of {len(checks)} have figures, in {config.out}; {head}")
    for name, problem in failed.items():
        print(f"{name}: {problem}", file=sys.stderr)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
