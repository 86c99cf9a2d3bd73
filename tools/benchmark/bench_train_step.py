#!/usr/bin/env python3
"""Audio seconds a second of a whole training step (forward, losses, backward, optimiser), and where its time goes.

Codes at `--rate-hz` (100: as the paper's code makes them by repetition), `--batch` utterances of `--frames`. Variants:
`ours`; `ours in bf16` (as `--precision bf16`) where the device has the instructions and torch uses them; both
`compiled` (as `--compile 1`) where torch and the machine can; `plain`, the same maths from PyTorch's own operations
(plain_modules.py); where k2 is installed, also both with k2's loss, and plain with k2's Swoosh too. Variants take
turns, and the median step counts. The loss of the first step shows that they compute the same (k2's Swoosh draws
random numbers itself, so that other ones are left for the dropout). The share of peak is that of the speed which one
large product of matrices has in the same number format, measured beforehand; what is counted as work are the products
and convolutions of a `plain` step, whatever the variant does instead.
"""

import contextlib
import copy
import dataclasses
import functools
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, ContextManager, Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from operations import mean_by_place
from plain_modules import plain

from icefall_discrete.base import backend
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_layers, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.losses.transducer_loss import LossConfig, transducer_losses
from icefall_discrete.nn.fused import can_compile, compiled
from icefall_discrete.nn.scaling import set_batch_count
from icefall_discrete.systems.asr.transducer import ModelConfig, Transducer, build_transducer
from icefall_discrete.training import stacked_parameters
from icefall_discrete.training.scaled_adam import ScaledAdam

SIZES = Path(__file__).resolve().parents[2] / "icefall_discrete" / "conf" / "models"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PARTS = ("encode", "losses", "backward", "optimiser")


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    size: str = setting("small", "model size, a file of conf/models")
    front_ends: Tuple[str, ...] = setting(("conv2d", "conv1d"), "front ends")
    device: str = setting("cpu", "cpu, cuda or cuda:N; by the wall clock, if not cpu")
    threads: Tuple[int, ...] = setting((1, 2), "thread counts")
    batch: int = setting(16, "utterances N")
    rate_hz: float = setting(100.0, "frames a second of the codes")
    frames: int = setting(600, "frames T of each utterance")
    labels: int = setting(40, "labels U of each utterance")
    codebook_size: int = setting(500, "number of codes")
    vocab_size: int = setting(500, "output units V")
    steps: int = setting(3, "steps after one to warm up; the median counts")
    batch_count: float = setting(2000.0, "batch count that sets the schedules")
    only: Tuple[str, ...] = setting((), "variants to measure; all that there are")
    clock: str = setting("wall", "cpu: processor time, for one thread on a busy machine", choices=tuple(CLOCKS))
    profile: int = setting(0, "show the operations that take most time in a step of ours, so many of them")
    count: int = setting(0, "show where a step of ours calls the most operations, so many places")


class Variant(NamedTuple):
    """A way to compute the step."""

    name: str
    backend: str
    parts: Callable[[], ContextManager[None]]
    bf16: bool = False


def has_bf16(device: str) -> bool:
    """Whether this torch multiplies bf16 matrices by the device's own instructions."""
    if torch.device(device).type != "cpu":
        return torch.cuda.is_bf16_supported()
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    return int(torch.__version__.split(".")[0]) >= 2 and ("avx512_bf16" in flags or "amx_bf16" in flags)


def variants(device: str) -> List[Variant]:
    """Those that this environment has for the device."""
    found = [Variant("ours", "torch", contextlib.nullcontext), Variant("plain", "torch", plain)]
    kind = torch.device(device).type
    if has_bf16(device):
        found.insert(1, Variant("ours in bf16", "torch", contextlib.nullcontext, bf16=True))
    if can_compile(kind):
        own = [one for one in found if one.name.startswith("ours")]
        parts = functools.partial(compiled, True, kind)
        found += [one._replace(name=f"{one.name} compiled", parts=parts) for one in own]
    if backend.resolve("auto") == "k2":
        k2 = backend.k2_module()
        functions = {"l": k2.swoosh_l, "r": k2.swoosh_r}
        found += [
            Variant("ours by k2 loss", "k2", contextlib.nullcontext),
            Variant("plain by k2 loss", "k2", plain),
            Variant("plain by k2 loss and swoosh", "k2", lambda: plain(lambda x, kind: functions[kind](x))),
        ]
    return found


class Step:
    """A model with its optimiser, and a batch."""

    def __init__(self, model: Transducer, variant: Variant, config: BenchConfig) -> None:
        self.model = copy.deepcopy(model)
        self.variant = variant
        self.device = torch.device(config.device)
        self.clock = CLOCKS[config.clock]
        self.optimizer = ScaledAdam(self.model.named_parameters(), lr=1e-3, clipping_scale=2.0)
        torch.manual_seed(1)
        self.codes = torch.randint(0, config.codebook_size, (config.batch, config.frames, 1)).to(self.device)
        self.lens = torch.linspace(0.8 * config.frames, config.frames, config.batch).long().to(self.device)
        self.labels = torch.randint(1, config.vocab_size, (config.batch, config.labels)).to(self.device)
        self.label_lens = torch.full((config.batch,), config.labels, device=self.device)
        self.losses: List[float] = []
        self.times: List[Dict[str, float]] = []

    def run(self) -> None:
        """One step; the noise depends on the number of the step only."""
        torch.manual_seed(len(self.times))
        random.seed(len(self.times))
        marks = [self.now()]
        with self.variant.parts():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.variant.bf16):
                encoded = self.model.encode(self.codes, self.lens)
                marks.append(self.now())
                loss = self._loss(encoded)
                marks.append(self.now())
            loss.backward()
        marks.append(self.now())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        marks.append(self.now())
        self.losses.append(float(loss.detach()))
        self.times.append({name: end - begin for name, begin, end in zip(PARTS, marks, marks[1:])})

    def now(self) -> float:
        """The time, after the device has finished."""
        if self.device.type != "cpu":
            torch.cuda.synchronize(self.device)
        return self.clock()

    def _loss(self, encoded) -> Tensor:
        config = LossConfig()
        found = transducer_losses(self.model, encoded, self.labels, self.label_lens, config, self.variant.backend)
        return found.total(config.rnnt_warm_step)

    def median(self, part: str = "") -> float:
        """Median seconds of a step, or of a part of it, without the first."""
        return statistics.median(times[part] if part else sum(times.values()) for times in self.times[1:])


def measured(model: Transducer, config: BenchConfig) -> List[Step]:
    """All variants, step by step in turn."""
    known = {variant.name: variant for variant in variants(config.device)}
    unknown = [name for name in config.only if name not in known]
    if unknown:
        raise ValueError(f"--only names '{unknown[0]}'; here are {', '.join(known)}.")
    chosen = [known[name] for name in config.only or known]
    steps = [Step(model, variant, config) for variant in chosen]
    for _ in range(config.steps + 1):
        for step in steps:
            step.run()
    return steps


def work_of(model: Transducer, config: BenchConfig) -> Optional[int]:
    """Floating-point operations of products and convolutions in a plain step; None where torch cannot count them."""
    if int(torch.__version__.split(".")[0]) < 2:
        return None
    from torch.utils.flop_counter import FlopCounterMode

    step = Step(model, Variant("plain", "torch", plain), config)
    with FlopCounterMode(display=False) as counter:
        step.run()
    return counter.get_total_flops()


def peak(step: Step) -> float:
    """Floating-point operations a second of one large product of square matrices, in the number format of the step."""
    size = 1024 if step.device.type == "cpu" else 8192
    dtype = torch.bfloat16 if step.variant.bf16 else torch.float32
    square = torch.randn(size, size, device=step.device).to(dtype)
    times = []
    for _ in range(5):
        begin = step.now()
        torch.mm(square, square)
        times.append(step.now() - begin)
    return 2 * size**3 / statistics.median(times[1:])


def show_profile(step: Step, rows: int) -> None:
    """Print the operations of one step by the time spent in them alone."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step.run()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=rows, max_name_column_width=40))


def show_count(step: Step, rows: int) -> None:
    """Print where a step calls operations that are not views: a module, or a step of the backward pass.

    The optimiser goes its way of a device; what the losses calculate is outside of modules with it.
    """
    stacked_parameters.has_cache = lambda device: False
    step.optimizer = ScaledAdam(step.model.named_parameters(), lr=1e-3, clipping_scale=2.0)
    step.run()
    found = mean_by_place(step.run, step.model, 4)
    print(f"{sum(number for _, number in found):.0f} operations a step, of which")
    for place, number in found[:rows]:
        print(f"  {number:.0f} {place}")


def build(front_end: str, config: BenchConfig) -> Transducer:
    """A model of random weights on codes."""
    spec = FeatureSpec("benchmark", "codes", 16000, config.rate_hz, 1, (config.codebook_size,), 0)
    size = (read_json(SIZES / f"{config.size}.json"), config.size)
    settings = from_layers(ModelConfig, [size, ({"front_end": front_end}, "--front-end")])
    torch.manual_seed(0)
    model = build_transducer(settings, spec, config.vocab_size, AugmentConfig()).train().to(config.device)
    set_batch_count(model, config.batch_count)
    return model


def row(step: Step, first: Step, work: Optional[int], config: BenchConfig) -> str:
    """Cells of a variant, from its name on."""
    seconds = step.median()
    speed = config.batch * config.frames / config.rate_hz / seconds
    share = "" if work is None else f"{100 * work / seconds / peak(step):.0f} %"
    parts = [f"{100 * step.median(part) / seconds:.0f} %" for part in PARTS]
    ratio = f"{seconds / first.median():.2f}"
    return " | ".join(
        [step.variant.name, f"{seconds:.3g}", f"{speed:.1f}", ratio, f"{step.losses[0]:.2f}", share, *parts]
    )


def main() -> None:
    """Print one row for each front end, thread count and variant."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_flush_denormal(True)
    sizes = f"{config.size}, batch {config.batch} x {config.frames} frames, U={config.labels}"
    print(f"{sizes}, {config.device}, torch {torch.__version__}")
    figures = ["step (s)", "audio s/s", "ours is faster by", "loss", "of peak", *PARTS]
    print("| " + " | ".join(["front end", "threads", "variant", *figures]) + " |")
    print("|---" * (3 + len(figures)) + "|")
    for front_end in config.front_ends:
        model = build(front_end, config)
        work = work_of(model, config)
        for threads in config.threads:
            torch.set_num_threads(threads)
            steps = measured(model, config)
            for step in steps:
                print(f"| {front_end} | {threads} | {row(step, steps[0], work, config)} |", flush=True)
            if config.profile:
                show_profile(steps[0], config.profile)
            if config.count:
                show_count(steps[0], config.count)


if __name__ == "__main__":
    main()
