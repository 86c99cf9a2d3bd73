#!/usr/bin/env python3
"""Time and memory of the transducer loss: the PyTorch backend, the k2 backend, and k2's own functions.

Forward and backward of the smoothed loss, the pruning, the joiner's output layer and the pruned loss, on one batch.
Each variant runs in a process of its own; memory is the peak above what the process held before. Variants that need k2
are left out where it is not installed.
"""

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.backend import k2_module, resolve
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.losses.prune import prune, prune_ranges
from icefall_discrete.losses.pruned_rnnt import LatticeOptions, Targets, pruned_rnnt_loss, smoothed_rnnt_loss

K2_FUNCTIONS = "k2 functions"
PARTS = ("simple", "joiner", "pruned", "total")


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Sizes of the batch."""

    batch: int = setting(16, "utterances N")
    frames: int = setting(150, "encoder frames T'")
    labels: int = setting(40, "labels U of each utterance")
    vocab_size: int = setting(500, "output units V")
    joiner_dim: int = setting(512, "dimension of the joiner")
    prune_range: int = setting(5, "label positions kept a frame")
    threads: int = setting(2, "CPU threads")
    repeats: int = setting(7, "steps after one to warm up; the median is reported")
    device: str = setting("cpu", "cpu or cuda")
    variant: str = setting("", "measure only this variant, and print its numbers as JSON")


class Batch:
    """Random inputs with gradients, and the joiner's output layer."""

    def __init__(self, config: BenchConfig) -> None:
        torch.manual_seed(0)
        make = {"device": config.device, "requires_grad": True}
        num, frames, positions = config.batch, config.frames, config.labels + 1
        self.simple_am = torch.randn(num, frames, config.vocab_size, **make)
        self.simple_lm = torch.randn(num, positions, config.vocab_size, **make)
        self.am = torch.randn(num, frames, config.joiner_dim, **make)
        self.lm = torch.randn(num, positions, config.joiner_dim, **make)
        self.output = torch.nn.Linear(config.joiner_dim, config.vocab_size).to(config.device)
        labels = torch.randint(1, config.vocab_size, (num, config.labels), device=config.device)
        lens = torch.full((num,), config.labels, device=config.device)
        self.targets = Targets(labels, lens, torch.full_like(lens, frames))

    def boundary(self) -> Tensor:
        """Rows [0, 0, labels, frames], as k2 takes them."""
        zeros = torch.zeros_like(self.targets.label_lens)
        return torch.stack([zeros, zeros, self.targets.label_lens, self.targets.frame_lens], dim=1)


def own_losses(batch: Batch, prune_range: int, backend: str) -> List[Callable]:
    """The library's simple loss, pruning and pruned loss."""
    options, targets = LatticeOptions(backend=backend), batch.targets

    def simple():
        loss, label_use, blank_use = smoothed_rnnt_loss(batch.simple_lm, batch.simple_am, targets, 0.25, 0.0, options)
        return loss.sum(), prune_ranges(label_use, blank_use, targets.label_lens, targets.frame_lens, prune_range)

    def pruned(logits, ranges):
        return pruned_rnnt_loss(logits, ranges, targets, options).sum()

    return [simple, prune, pruned]


def k2_losses(batch: Batch, prune_range: int) -> List[Callable]:
    """The same with the functions that k2 offers."""
    k2, labels, boundary = k2_module(), batch.targets.labels, batch.boundary()

    def simple():
        loss, (label_use, blank_use) = k2.rnnt_loss_smoothed(
            batch.simple_lm, batch.simple_am, labels, 0, 0.25, 0.0, boundary, reduction="sum", return_grad=True
        )
        return loss, k2.get_rnnt_prune_ranges(label_use, blank_use, boundary, prune_range)

    def pruned(logits, ranges):
        return k2.rnnt_loss_pruned(logits, labels, ranges, 0, boundary, reduction="sum")

    return [simple, k2.do_rnnt_pruning, pruned]


def now(device: str) -> float:
    """Milliseconds, after the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()
    return 1000.0 * time.perf_counter()


def step(batch: Batch, functions: List[Callable], device: str) -> Dict[str, float]:
    """One forward and backward; milliseconds of each part."""
    simple, prune_to, pruned = functions
    start = now(device)
    loss, ranges = simple()
    loss.backward()
    simple_end = now(device)
    am, lm = prune_to(batch.am, batch.lm, ranges)
    logits = batch.output(torch.tanh(am + lm))
    joiner_end = now(device)
    leaf = logits.detach().requires_grad_()
    pruned(leaf, ranges).backward()
    pruned_end = now(device)
    logits.backward(leaf.grad)
    end = now(device)
    joiner = joiner_end - simple_end + end - pruned_end
    return dict(zip(PARTS, (simple_end - start, joiner, pruned_end - joiner_end, end - start)))


def peak_megabytes(device: str) -> float:
    """Peak memory so far, of the process (Linux counts kilobytes) or of the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(config: BenchConfig) -> Dict[str, float]:
    """Median milliseconds of each part, and megabytes."""
    torch.set_num_threads(config.threads)
    batch = Batch(config)
    if config.variant == K2_FUNCTIONS:
        functions = k2_losses(batch, config.prune_range)
    else:
        functions = own_losses(batch, config.prune_range, config.variant.split()[0])
    before = peak_megabytes(config.device)
    runs = [step(batch, functions, config.device) for _ in range(config.repeats + 1)][1:]
    result = {part: statistics.median(run[part] for run in runs) for part in PARTS}
    return {**result, "megabytes": peak_megabytes(config.device) - before}


def main() -> None:
    """Measure one variant, or all of them and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    if config.variant:
        print(json.dumps(measure(config)))
        return
    variants = ["torch backend"]
    if resolve("auto") == "k2":
        variants = [K2_FUNCTIONS, "k2 backend", *variants]
    results = {}
    for variant in variants:
        command = [sys.executable, __file__, *sys.argv[1:], "--variant", variant]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[variant] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"N={config.batch} T'={config.frames} U={config.labels} V={config.vocab_size} joiner {config.joiner_dim}, "
        f"{config.device}, {config.threads} threads, torch {torch.__version__}; ms forward + backward"
    )
    print("| variant | simple | joiner | pruned | total | peak MB | time ratio | memory ratio |")
    print("|---|---|---|---|---|---|---|---|")
    base = results[variants[0]]
    for variant, values in results.items():
        cells = " | ".join(f"{values[part]:.0f}" for part in PARTS)
        ratios = f"{values['total'] / base['total']:.2f} | {values['megabytes'] / base['megabytes']:.2f}"
        print(f"| {variant} | {cells} | {values['megabytes']:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
