#!/usr/bin/env python3
"""The ladder of learning without pairs: does it work on made-up languages, and does what should break it break it?

First rung: symbols for symbols by their moments. Second rung: wav2vec-U on vectors with noise, one or two for a symbol,
several seeds, of which one is chosen without any transcript; then shuffled text, and one part after the other left out.
A seed takes a minute of one core.
"""

import dataclasses
import logging
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.systems.wav2vec_u.config import DiscriminatorConfig, GanTraining, LossConfig, Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import Candidate, Judge, by_weighted_perplexity, verdict
from icefall_discrete.systems.wav2vec_u.ladder import (
    Language,
    match_moments,
    shuffled,
    spoken,
    symbol_error_rate,
)
from icefall_discrete.systems.wav2vec_u.network import best_symbols
from icefall_discrete.systems.wav2vec_u.speech import whole_batches, write_speech
from icefall_discrete.systems.wav2vec_u.system import Wav2vecUSystem, build_network
from icefall_discrete.systems.wav2vec_u.text import Text
from icefall_discrete.systems.wav2vec_u.training import WEIGHTS, Material, SeedTraining, settings_to_keep

# Symbols of the language, dimensions of its vectors, utterances to learn from and to measure on.
_SYMBOLS, _DIM, _TRAIN, _DEV = 10, 16, 600, 200
_LOSS = LossConfig(gradient_penalty=0.15, smoothness=0.5, diversity=4.0)
_LEFT_OUT = {
    "no gradient penalty": {"gradient_penalty": 0.0},
    "no smoothness": {"smoothness": 0.0},
    "no diversity": {"diversity": 0.0},
}


@dataclasses.dataclass(frozen=True)
class LadderConfig:
    """What is tried."""

    seeds: Tuple[int, ...] = setting((0, 1, 2, 3, 4, 5, 6, 7), "seeds of the second rung")
    steps: int = setting(4000, "its steps", minimum=2)
    noise: float = setting(0.3, "deviation of its noise, beside vectors of deviation 1", minimum=0)
    language: int = setting(0, "which language", minimum=0)
    control_seeds: Tuple[int, ...] = setting((0, 1), "seeds with shuffled text; none: leave it out")
    ablated_seeds: Tuple[int, ...] = setting((0,), "seeds with a part left out; none: leave it out")


class Rung:
    """The second rung: one language, heard and read."""

    def __init__(self, config: LadderConfig, folder: Path, is_control: bool) -> None:
        self.config = config
        language = Language.made_up(_SYMBOLS, config.language, 0.1)
        heard, read, self.dev = language.lines(_TRAIN, 1), language.lines(_TRAIN, 2), language.lines(_DEV, 3)
        read = shuffled(read, 4) if is_control else read
        # Silence at both ends, as rows of text have it: one convolution cannot say there what it does not hear.
        frames = spoken([[0, *line, 0] for line in heard + self.dev], _SYMBOLS, _DIM, config.noise, 5)
        utterances = [(str(place), one, None) for place, one in enumerate(frames)]
        train, dev = (
            write_speech(folder / name, part, 1.0)
            for name, part in (("train", utterances[:_TRAIN]), ("dev", utterances[_TRAIN:]))
        )
        names = ["<sil>", *(str(one) for one in range(1, _SYMBOLS + 1))]
        self.judge = Judge(read, _SYMBOLS + 1, 4)
        self.material = Material(train, dev, Text(names, [[line] for line in read]), self.judge)
        self.folder = folder

    def train(self, seed: int, loss: LossConfig) -> Tuple[Candidate, float]:
        """Figures of a seed, and its error rate on the held-out utterances, which has no part in any choice."""
        config = Wav2vecUConfig(
            discriminator=DiscriminatorConfig(kernel=4, dim=32),
            loss=loss,
            train=GanTraining(
                steps=self.config.steps,
                batch_size=32,
                generator_lr=0.01,
                discriminator_lr=0.001,
                check_steps=min(500, self.config.steps),
                save_steps=self.config.steps,
            ),
        )
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        record = SeedTraining(config, settings_to_keep(config), self.material, folder).run(seed)
        system = Wav2vecUSystem(build_network(config, self.material.sizes), config).eval()
        weights = read_tensors(folder / WEIGHTS, "run again").tensors
        system.network.load_state_dict({**system.network.state_dict(), **weights})
        said: Dict[int, List[int]] = {}
        for batch in whole_batches(self.material.dev, 64):
            rows = best_symbols(system.say(batch, torch.device("cpu")))
            said.update((int(name) - _TRAIN, row) for name, row in zip(batch["cut_ids"], rows))
        rate = symbol_error_rate(self.dev, [said[place] for place in range(_DEV)])
        return Candidate.of(seed, record), rate


def first_rung(config: LadderConfig) -> None:
    """Moments of symbols, and of shuffled text."""
    language = Language.made_up(_SYMBOLS, config.language)
    heard, read = language.lines(_TRAIN, 1), language.lines(_TRAIN, 2)
    rows = []
    for name, lines in (("text", read), ("shuffled text", shuffled(read, 3))):
        found = match_moments(heard, lines, _SYMBOLS, restarts=8, steps=500, seed=0)
        rates = [symbol_error_rate(heard, one.say(heard)) for one in found]
        rows.append((name, f"{rates[0]:.3f}", f"{sorted(rates)[len(rates) // 2]:.3f}", f"{found[0].distance:.4f}"))
    print(text_table(("moments", "error rate, least distance", "median restart", "distance"), rows), flush=True)


def second_rung(config: LadderConfig, folder: Path) -> None:
    """Seeds, the control, and what is left out; a line each as it is done."""
    rung = Rung(config, folder / "text", False)
    print(f"text: perplexity {rung.judge.text_ppl:.2f}", flush=True)
    found: List[Candidate] = []
    rates: Dict[int, float] = {}
    for seed in config.seeds:
        one, rates[seed] = rung.train(seed, _LOSS)
        found.append(one)
        show(f"seed {seed}", one, rates[seed], rung.judge)
    if found:
        chosen = by_weighted_perplexity(found)
        print(f"chosen: seed {chosen.seed}, error rate {rates[chosen.seed]:.3f}", flush=True)
    for name, changes in _LEFT_OUT.items():
        for seed in config.ablated_seeds:
            show(f"{name}, seed {seed}", *rung.train(seed, dataclasses.replace(_LOSS, **changes)), rung.judge)
    if config.control_seeds:
        control = Rung(config, folder / "shuffled", True)
        print(f"shuffled text: perplexity {control.judge.text_ppl:.2f}", flush=True)
        for seed in config.control_seeds:
            show(f"shuffled text, seed {seed}", *control.train(seed, _LOSS), control.judge)


def show(name: str, one: Candidate, rate: float, judge: Judge) -> None:
    """A line of the second rung."""
    told = verdict(one, judge.text_ppl)
    print(f"{name}: error rate {rate:.3f}, weighted perplexity {one.weighted_ppl:.2f}, {told}", flush=True)


def main() -> None:
    """Climb."""
    config = config_from_flags(LadderConfig, __doc__ or "")
    logging.getLogger().setLevel(logging.WARNING)
    first_rung(config)
    with tempfile.TemporaryDirectory() as folder:
        second_rung(config, Path(folder))


if __name__ == "__main__":
    run_script(main)
