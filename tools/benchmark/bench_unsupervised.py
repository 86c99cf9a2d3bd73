#!/usr/bin/env python3
"""The ladder of learning without pairs: does it work on made-up languages, and does what should break it break it?

First rung: symbols for symbols by their moments. Second rung: wav2vec-U on vectors with noise, one or two for a symbol,
several seeds, of which one is chosen without any transcript; then shuffled text, and one part after the other left out.
A seed takes half a minute of one core.
"""

import dataclasses
import logging
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import section, setting
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.systems.wav2vec_u.config import DiscriminatorConfig, GanTraining, Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import Candidate, Judge, by_weighted_perplexity, verdict
from icefall_discrete.systems.wav2vec_u.ladder import (
    Language,
    RungConfig,
    SecondRung,
    match_moments,
    shuffled,
    symbol_error_rate,
)

_LEFT_OUT = {
    "no gradient penalty": {"gradient_penalty": 0.0},
    "no smoothness": {"smoothness": 0.0},
    "no diversity": {"diversity": 0.0},
}


@dataclasses.dataclass(frozen=True)
class LadderConfig:
    """What is tried."""

    seeds: Tuple[int, ...] = setting((0, 1, 2, 3, 4, 5, 6, 7), "seeds of the second rung")
    steps: int = setting(2500, "its steps", minimum=2)
    control_seeds: Tuple[int, ...] = setting((2,), "seeds with shuffled text; none: leave it out")
    ablated_seeds: Tuple[int, ...] = setting((2,), "seeds with a part left out; none: leave it out")
    rung: RungConfig = section(RungConfig)


def recipe(steps: int) -> Wav2vecUConfig:
    """Losses as published, small networks."""
    return Wav2vecUConfig(
        discriminator=DiscriminatorConfig(kernel=4, dim=32),
        train=GanTraining(
            steps=steps,
            batch_size=32,
            generator_lr=0.004,
            discriminator_lr=0.008,
            check_steps=min(250, steps),
            save_steps=steps,
        ),
    )


def first_rung(config: RungConfig) -> None:
    """Moments of symbols, and of shuffled text."""
    symbols, count = config.num_symbols, config.train_lines
    language = Language.made_up(symbols, config.language)
    heard, read = language.lines(count, 1), language.lines(count, 2)
    rows = []
    for name, lines in (("text", read), ("shuffled text", shuffled(read, 3))):
        found = match_moments(heard, lines, symbols, restarts=8, steps=500, seed=0)
        rates = [symbol_error_rate(heard, one.say(heard)) for one in found]
        rows.append((name, f"{rates[0]:.3f}", f"{sorted(rates)[len(rates) // 2]:.3f}", f"{found[0].distance:.4f}"))
    print(text_table(("moments", "error rate, least distance", "median restart", "distance"), rows), flush=True)


def second_rung(config: LadderConfig, folder: Path) -> None:
    """Seeds, the control, and what is left out; a line each as it is done."""
    whole = recipe(config.steps)
    rung = SecondRung(config.rung, folder / "text")
    print(f"text: perplexity {rung.judge.text_ppl:.2f}", flush=True)
    found: List[Candidate] = []
    rates: Dict[int, float] = {}
    for seed in config.seeds:
        one, rates[seed] = rung.train(whole, seed, "whole")
        found.append(one)
        show(f"seed {seed}", one, rates[seed], rung.judge)
    if found:
        chosen = by_weighted_perplexity(found)
        print(f"chosen: seed {chosen.seed}, error rate {rates[chosen.seed]:.3f}", flush=True)
    for name, changes in _LEFT_OUT.items():
        less = dataclasses.replace(whole, loss=dataclasses.replace(whole.loss, **changes))
        for seed in config.ablated_seeds:
            show(f"{name}, seed {seed}", *rung.train(less, seed, name), rung.judge)
    if config.control_seeds:
        control = SecondRung(config.rung, folder / "shuffled", is_control=True)
        print(f"shuffled text: perplexity {control.judge.text_ppl:.2f}", flush=True)
        for seed in config.control_seeds:
            show(f"shuffled text, seed {seed}", *control.train(whole, seed, "whole"), control.judge)


def show(name: str, one: Candidate, rate: float, judge: Judge) -> None:
    """A line of the second rung."""
    told = verdict(one, judge.text_ppl)
    print(f"{name}: error rate {rate:.3f}, weighted perplexity {one.weighted_ppl:.2f}, {told}", flush=True)


def main() -> None:
    """Climb."""
    config = config_from_flags(LadderConfig, __doc__ or "")
    logging.getLogger().setLevel(logging.WARNING)
    first_rung(config.rung)
    with tempfile.TemporaryDirectory() as folder:
        second_rung(config, Path(folder))


if __name__ == "__main__":
    run_script(main)
