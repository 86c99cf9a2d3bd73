#!/usr/bin/env python3
"""Time of an optimiser step on the parameters of a model size: ScaledAdam against torch.optim.AdamW.

ScaledAdam clips gradients itself, so AdamW is measured with `clip_grad_norm_`, in the ways this torch offers. On a
device steps wait for what Python has to launch: `--count 1` counts the operations of a step as it is there, on any
machine, and measures the processor time of such a step with as many parameters of few elements each.
"""

import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from operations import mean_number

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_dict, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.systems.asr.transducer import ModelConfig, build_transducer
from icefall_discrete.training import stacked_parameters
from icefall_discrete.training.scaled_adam import ScaledAdam

SIZES = Path(__file__).resolve().parents[2] / "icefall_discrete" / "conf" / "models"
SPEC = FeatureSpec("benchmark", "codes", 16000, 50.0, 1, (500,), 0)


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    sizes: tuple[str, ...] = setting(("tiny", "small"), "model sizes, files of conf/models")
    vocab_size: int = setting(500, "output units")
    threads: int = setting(2, "CPU threads")
    repeats: int = setting(15, "steps after one to warm up; the median is reported")
    device: str = setting("cpu", "cpu or cuda")
    count: bool = setting(False, "count the operations of a step on a device, on a CPU")


def adamw(parameters: List[nn.Parameter], way: str) -> Callable[[], None]:
    """A step of AdamW after clipping."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, **({} if way == "loop" else {way: True}))

    def step() -> None:
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def steps_of(model: nn.Module, device: str) -> Dict[str, Callable[[], None]]:
    """The steps to compare, by name; AdamW's fused way only where this torch has it for the device."""
    parameters = list(model.parameters())
    found = {"ScaledAdam": ScaledAdam(model.named_parameters(), lr=1e-3, clipping_scale=2.0).step}
    for way in ("foreach", "fused"):
        try:
            step = adamw(parameters, way)
            step()
        except (RuntimeError, TypeError) as error:
            print(f"AdamW {way} is not measured on {device}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        found[f"AdamW {way}"] = step
    found["AdamW loop"] = adamw(parameters, "loop")
    return found


def milliseconds(
    step: Callable[[], None], repeats: int, device: str, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Median time of a step."""
    times = []
    for _ in range(repeats + 1):
        start = clock()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1000.0 * (clock() - start))
    return statistics.median(times[1:])


def number_of_operations(step: Callable[[], None]) -> float:
    """Those of a step, as the mean over a period in which ScaledAdam learns sizes once, after the threshold is set."""
    for _ in range(12):
        step()
    return mean_number(step, 4)


def toys_like(model: nn.Module) -> nn.Module:
    """As many parameters, of as many sizes, that have few elements."""
    ranks = {size: rank for rank, size in enumerate(sorted({param.numel() for param in model.parameters()} | {1}))}
    sizes = [1 + ranks[param.numel()] for param in model.parameters()]
    return nn.ParameterList([nn.Parameter(torch.randn(size)) for size in sizes])


def with_gradients(model: nn.Module) -> nn.Module:
    """The model, with gradients."""
    for param in model.parameters():
        param.grad = torch.randn_like(param) * 1e-3
    return model


def show_counts(size: str, model: nn.Module, repeats: int) -> None:
    """Rows of a model size: operations of a step, and processor time with parameters of few elements."""
    count = len(list(model.parameters()))
    toys = with_gradients(toys_like(model))
    clocks = {
        name: milliseconds(step, repeats, "cpu", time.process_time) for name, step in steps_of(toys, "cpu").items()
    }
    for name, step in steps_of(model, "cpu").items():
        print(f"| {size} | {count} | {name} | {number_of_operations(step):.0f} | {clocks[name]:.2f} |")


def show_times(size: str, model: nn.Module, config: BenchConfig) -> None:
    """Rows of a model size: time of a step."""
    count = sum(param.numel() for param in model.parameters())
    results = {
        name: milliseconds(step, config.repeats, config.device) for name, step in steps_of(model, config.device).items()
    }
    for name, value in results.items():
        ratio = value / results["AdamW foreach"]
        print(f"| {size} | {count / 1e6:.1f} M | {name} | {value:.1f} | {ratio:.2f} |")


def main() -> None:
    """Print a table for each model size."""
    config = config_from_flags(BenchConfig, __doc__)
    torch.set_num_threads(config.threads)
    if config.count:
        stacked_parameters.has_cache = lambda device: False
        print(f"torch {torch.__version__}; a step with gradient clipping")
        print("| model | parameters | optimiser | operations | ms of processor time, small parameters |")
    else:
        print(f"{config.device}, {config.threads} threads, torch {torch.__version__}; ms a step with gradient clipping")
        print("| model | parameters | optimiser | ms | ratio to AdamW foreach |")
    print("|---|---|---|---|---|")
    for size in config.sizes:
        settings = from_dict(ModelConfig, read_json(SIZES / f"{size}.json"), f"{size}.json")
        model = with_gradients(build_transducer(settings, SPEC, config.vocab_size, AugmentConfig()).to(config.device))
        if config.count:
            show_counts(size, model, config.repeats)
        else:
            show_times(size, model, config)


if __name__ == "__main__":
    main()
