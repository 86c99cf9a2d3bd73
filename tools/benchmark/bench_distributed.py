#!/usr/bin/env python3
"""Training steps of several processes on this machine, by the way in which they add up gradients.

Variants take turns in the same processes, on equal batches of codes: `apart` exchanges nothing, which is the most that
can be had; `ours` (training/gradient_exchange.py); `DistributedDataParallel` of torch, which has to look for parameters
without gradients, as losses that are off and random skips leave some out. The median step of the first process counts.
"""

import copy
import dataclasses
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Dict, List

import torch
import torch.distributed as dist
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_layers, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.losses.transducer_loss import LossConfig, transducer_losses
from icefall_discrete.systems.asr.transducer import ModelConfig, Transducer, build_transducer
from icefall_discrete.training.distributed import Group, joined_group
from icefall_discrete.training.gradient_exchange import GradientExchange
from icefall_discrete.training.launch import launch
from icefall_discrete.training.scaled_adam import ScaledAdam

SIZES = Path(__file__).resolve().parents[2] / "icefall_discrete" / "conf" / "models"
VARIANTS = ("apart", "ours", "DistributedDataParallel")


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    size: str = setting("tiny", "model size, a file of conf/models")
    world_size: int = setting(2, "processes, of one thread each", minimum=2)
    batch: int = setting(26, "utterances N of a process")
    rate_hz: float = setting(50.0, "frames a second of the codes")
    frames: int = setting(108, "frames T of each utterance")
    labels: int = setting(25, "labels U of each utterance")
    codebook_size: int = setting(1000, "number of codes")
    vocab_size: int = setting(83, "output units V")
    steps: int = setting(12, "steps after one to warm up; the median counts")


class Objective(nn.Module):
    """The network and its losses as one module, which is what DistributedDataParallel wraps."""

    def __init__(self, network: Transducer, config: BenchConfig) -> None:
        super().__init__()
        self.network = network
        torch.manual_seed(1)
        self.codes = torch.randint(0, config.codebook_size, (config.batch, config.frames, 1))
        self.lens = torch.linspace(0.8 * config.frames, config.frames, config.batch).long()
        self.labels = torch.randint(1, config.vocab_size, (config.batch, config.labels))
        self.label_lens = torch.full((config.batch,), config.labels)

    def forward(self) -> Tensor:
        """The weighted sum of the losses."""
        encoded = self.network.encode(self.codes, self.lens)
        losses = LossConfig()
        found = transducer_losses(self.network, encoded, self.labels, self.label_lens, losses, "torch")
        return found.total(losses.rnnt_warm_step)


class Step:
    """A way to take a step."""

    def __init__(self, variant: str, network: Transducer, config: BenchConfig, group: Group) -> None:
        module = Objective(copy.deepcopy(network), config)
        is_ddp = variant == "DistributedDataParallel"
        self.module = nn.parallel.DistributedDataParallel(module, find_unused_parameters=True) if is_ddp else module
        self.exchange = GradientExchange(module, group if variant == "ours" else Group())
        self.optimizer = ScaledAdam(module.named_parameters(), lr=1e-3, clipping_scale=2.0)
        self.seconds: List[float] = []

    def run(self) -> None:
        """One step; its noise depends on its number only, so that all variants compute the same."""
        torch.manual_seed(len(self.seconds))
        random.seed(len(self.seconds))
        dist.barrier()
        began = time.perf_counter()
        self.module().backward()
        self.exchange.sum_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.seconds.append(time.perf_counter() - began)

    def median(self) -> float:
        """Seconds of a step, without the first."""
        return statistics.median(self.seconds[1:])


def measured(config: BenchConfig, group: Group) -> Dict[str, Step]:
    """All variants, step by step in turn."""
    spec = FeatureSpec("benchmark", "codes", 16000, config.rate_hz, 1, (config.codebook_size,), 0)
    settings = from_layers(ModelConfig, [(read_json(SIZES / f"{config.size}.json"), config.size)])
    torch.manual_seed(0)
    network = build_transducer(settings, spec, config.vocab_size, AugmentConfig()).train()
    steps = {variant: Step(variant, network, config, group) for variant in VARIANTS}
    for _ in range(config.steps + 1):
        for step in steps.values():
            step.run()
    return steps


def main() -> None:
    """Start the processes, and print a row for each variant."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with joined_group("cpu") as group:
        if group.world_size == 1:
            sys.exit(launch([sys.executable, *sys.argv], config.world_size, 0))
        steps = measured(config, group)
        if group.is_main:
            audio_sec = group.world_size * config.batch * config.frames / config.rate_hz
            print(f"{config.size}, {group.world_size} processes, torch {torch.__version__}")
            print("| gradients | step (s) | audio s/s | time, ours = 1 |\n|---|---|---|---|")
            for variant, step in steps.items():
                wall = step.median()
                print(f"| {variant} | {wall:.3f} | {audio_sec / wall:.0f} | {wall / steps['ours'].median():.2f} |")


if __name__ == "__main__":
    main()
