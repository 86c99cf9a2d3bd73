#!/usr/bin/env python3
"""Audio seconds a second of a training step (forward and backward, no optimiser) of front end and encoder.

One batch of `--batch` utterances of `--duration` seconds, codes at 50 Hz already embedded; conv2d reads them at 100
Hz, as the paper's code does after repeating each code, conv1d at 50 Hz. The figure is the median of `--steps` steps.
"""

import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Tuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_layers, setting
from icefall_discrete.nn.encoders.contract import build_encoder
from icefall_discrete.nn.scaling import set_batch_count
from icefall_discrete.systems.asr.transducer import ModelConfig

SIZES = Path(__file__).resolve().parents[2] / "icefall_discrete" / "conf" / "models"
EMBEDDING_DIM = 80
INPUT_RATE_HZ = {"conv2d": 100, "conv1d": 50}


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    sizes: Tuple[str, ...] = setting(("tiny", "small"), "model sizes, files of conf/models")
    front_ends: Tuple[str, ...] = setting(("conv1d", "conv2d"), "front ends")
    threads: Tuple[int, ...] = setting((1, 2), "thread counts")
    batch: int = setting(16, "utterances in the batch")
    duration: float = setting(6.0, "seconds of each utterance")
    steps: int = setting(5, "steps after one to warm up")
    batch_count: float = setting(2000.0, "batch count that sets the schedules")
    shortest: float = setting(0.8, "length of the shortest utterance as a share of the longest; 1 for no padding")


class Step(torch.nn.Module):
    """Front end and encoder of a model size."""

    def __init__(self, size: str, front_end: str) -> None:
        super().__init__()
        sizes = (read_json(SIZES / f"{size}.json"), size)
        config = from_layers(ModelConfig, [sizes, ({"front_end": front_end}, "--front-end")])
        encoder = config.encoder
        self.front_end = config.front_end.build(EMBEDDING_DIM, encoder.in_dim, encoder.input_dropout)
        self.encoder = build_encoder(encoder)

    def forward(self, x: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
        """Return a scalar that depends on the whole output."""
        out, _, _ = self.encoder(*self.front_end(x, lens))
        return (out * out).mean()


def measure(model: Step, config: BenchConfig, rate_hz: int) -> float:
    """Return the median wall time of a step, in seconds."""
    torch.manual_seed(0)
    num_frames = round(config.duration * rate_hz)
    lens = torch.linspace(config.shortest * num_frames, num_frames, config.batch).round().long()
    x = torch.randn(config.batch, num_frames, EMBEDDING_DIM, requires_grad=True)
    times = []
    for _ in range(config.steps + 1):
        model.zero_grad(set_to_none=True)
        begin = time.perf_counter()
        model(x, lens).backward()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def main() -> None:
    """Print one row for each size, front end and thread count."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_flush_denormal(True)
    print(f"torch {torch.__version__}, batch {config.batch} x {config.duration} s")
    print("size    front end  threads  parameters  step (ms)  audio s/s")
    for size in config.sizes:
        for front_end in config.front_ends:
            torch.manual_seed(0)
            model = Step(size, front_end).train()
            set_batch_count(model, config.batch_count)
            count = sum(p.numel() for p in model.parameters()) / 1e6
            for threads in config.threads:
                torch.set_num_threads(threads)
                wall = measure(model, config, INPUT_RATE_HZ[front_end])
                speed = config.batch * config.duration / wall
                print(f"{size:7} {front_end:9}  {threads:7}  {count:8.2f} M  {wall * 1000:9.0f}  {speed:9.1f}")


if __name__ == "__main__":
    main()
