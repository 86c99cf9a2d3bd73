"""Languages that are made up, on which it shows in minutes whether learning without pairs works at all.

First rung: symbols for symbols, by matching how often they follow one another (the theory: Wang et al. 2023,
https://arxiv.org/abs/2306.07926). Second rung: vectors for symbols, with noise, of one or two frames each, by the whole
of wav2vec-U. Beside each stands a control, text whose symbols are shuffled within lines, which nothing can be learnt
from. Letters: K units of speech, V symbols of text.
"""

import dataclasses
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import kaldialign
import numpy as np
import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.systems.wav2vec_u.config import Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import Candidate, Judge
from icefall_discrete.systems.wav2vec_u.network import best_symbols
from icefall_discrete.systems.wav2vec_u.speech import whole_batches, write_speech
from icefall_discrete.systems.wav2vec_u.system import Wav2vecUSystem, build_network
from icefall_discrete.systems.wav2vec_u.text import Text
from icefall_discrete.systems.wav2vec_u.training import WEIGHTS, Material, SeedTraining, settings_to_keep

Lines = List[List[int]]


@dataclasses.dataclass(frozen=True)
class RungConfig:
    """The language of the second rung, and how it is spoken."""

    language: int = setting(0, "which language", minimum=0)
    num_symbols: int = setting(10, "its symbols", minimum=2)
    concentration: float = setting(0.1, "the smaller, the fewer symbols follow each", above=0)
    shortest: int = setting(15, "symbols of a line, at least", minimum=2)
    longest: int = setting(25, "symbols of a line, at most", minimum=2)
    dim: int = setting(16, "dimensions of its vectors", minimum=1)
    noise: float = setting(0.3, "deviation of its noise, beside vectors of deviation 1", minimum=0)
    train_lines: int = setting(600, "utterances to learn from, and as many other lines of text", minimum=2)
    dev_lines: int = setting(200, "utterances to measure on", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)


class Language(NamedTuple):
    """A Markov chain over symbols 1 to V: first (V,) and next (V, V), probabilities; none follows itself."""

    first: np.ndarray
    next: np.ndarray

    @classmethod
    def made_up(cls, num_symbols: int, seed: int, concentration: float = 0.25) -> "Language":
        """One of random probabilities; the smaller the concentration, the fewer symbols follow each."""
        generator = np.random.default_rng(seed)
        table = generator.dirichlet(np.full(num_symbols, concentration), size=num_symbols) + 1e-3
        np.fill_diagonal(table, 0.0)
        return cls(generator.dirichlet(np.ones(num_symbols)), table / table.sum(axis=1, keepdims=True))

    def lines(self, count: int, seed: int, shortest: int = 15, longest: int = 25) -> Lines:
        """Lines of `shortest` to `longest` symbols."""
        generator = np.random.default_rng(seed)
        found = []
        for size in generator.integers(shortest, longest + 1, count).tolist():
            line = [int(generator.choice(len(self.first), p=self.first))]
            while len(line) < size:
                line.append(int(generator.choice(len(self.first), p=self.next[line[-1]])))
            found.append([symbol + 1 for symbol in line])
        return found


def shuffled(lines: Lines, seed: int) -> Lines:
    """The symbols of each line in random order: the control."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(line).tolist() for line in lines]


def spoken(lines: Lines, num_symbols: int, dim: int, noise: float, seed: int) -> List[np.ndarray]:
    """Frames (T, dim) of each line: a random vector a symbol (and one for 0, silence), one frame or, four times of ten,
    two, and noise."""
    prototypes = np.random.default_rng(seed).standard_normal((num_symbols + 1, dim))
    generator = np.random.default_rng(seed + 1)
    found = []
    for line in lines:
        repeats = 1 + (generator.random(len(line)) < 0.4)
        frames = prototypes[np.repeat(line, repeats)]
        found.append((frames + noise * generator.standard_normal(frames.shape)).astype(np.float32))
    return found


def symbol_error_rate(ref: Sequence[Sequence[int]], hyp: Sequence[Sequence[int]]) -> float:
    """Edits over symbols of the reference, a share."""
    edits = sum(kaldialign.edit_distance(list(map(str, a)), list(map(str, b)))["total"] for a, b in zip(ref, hyp))
    return edits / sum(map(len, ref))


class SecondRung:
    """A language that is heard in some lines and read in others.

    Args:
      folder: for speech and trainings. is_control: the symbols of what is read are in random order.
    """

    def __init__(self, config: RungConfig, folder: Path, is_control: bool = False) -> None:
        symbols = config.num_symbols
        language = Language.made_up(symbols, config.language, config.concentration)
        counts = (config.train_lines, config.train_lines, config.dev_lines)
        heard, read, self.dev = (
            language.lines(count, seed, config.shortest, config.longest) for seed, count in enumerate(counts, start=1)
        )
        read = shuffled(read, 4) if is_control else read
        # Silence at both ends, as rows of text have it: one convolution cannot say there what it does not hear.
        frames = spoken([[0, *line, 0] for line in heard + self.dev], symbols, config.dim, config.noise, 5)
        parts = {"train": frames[: len(heard)], "dev": frames[len(heard) :]}
        train, dev = (
            write_speech(folder / name, [(str(place), one, None) for place, one in enumerate(part)], 1.0)
            for name, part in parts.items()
        )
        names = ["<sil>", *map(str, range(1, symbols + 1))]
        self.judge = Judge(read, symbols + 1, 4)
        self.material = Material(train, dev, Text(names, [[line] for line in read]), self.judge)
        self.folder = folder

    def train(self, config: Wav2vecUConfig, seed: int, name: str) -> Tuple[Candidate, float]:
        """Figures of a seed, and its error rate on the held-out utterances, which has no part in any choice.

        Args:
          name: of the training, a folder.
        """
        folder = self.folder / name / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        record = SeedTraining(config, settings_to_keep(config), self.material, folder).run(seed)
        system = Wav2vecUSystem(build_network(config, self.material.sizes), config).eval()
        weights = read_tensors(folder / WEIGHTS, "run again").tensors
        system.network.load_state_dict({**system.network.state_dict(), **weights})
        said: Dict[int, List[int]] = {}
        for batch in whole_batches(self.material.dev, 64):
            rows = best_symbols(system.say(batch, torch.device("cpu")))
            said.update((int(place), row) for place, row in zip(batch["cut_ids"], rows))
        return Candidate.of(seed, record), symbol_error_rate(self.dev, [said[place] for place in range(len(self.dev))])


def moments(lines: Lines, num_symbols: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of symbols (V,), and of pairs (V, V) of neighbours and of those with one between."""
    tables = [np.zeros((num_symbols, num_symbols)) for _ in range(2)]
    counts = np.zeros(num_symbols)
    for line in lines:
        row = np.array(line) - 1
        np.add.at(counts, row, 1)
        for gap, table in enumerate(tables, start=1):
            np.add.at(table, (row[:-gap], row[gap:]), 1)
    return counts / counts.sum(), tables[0] / tables[0].sum(), tables[1] / tables[1].sum()


class Match(NamedTuple):
    """What a restart found: the distance of the moments, and the symbol of each unit (K,), from 1."""

    distance: float
    symbols: List[int]

    def say(self, lines: Lines) -> Lines:
        """The symbols of rows of units."""
        return [[self.symbols[unit - 1] for unit in line] for line in lines]


def match_moments(speech: Lines, text: Lines, num_symbols: int, restarts: int, steps: int, seed: int) -> List[Match]:
    """Find the symbols of units by their moments alone, from random beginnings; the least distance comes first."""
    heard = [torch.tensor(one, dtype=torch.float32) for one in moments(speech, num_symbols)]
    read = [torch.tensor(one, dtype=torch.float32) for one in moments(text, num_symbols)]
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(restarts, num_symbols, num_symbols, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        _distances(scores.softmax(dim=2), heard, read).sum().backward()
        optimizer.step()
    with torch.no_grad():
        hard = torch.nn.functional.one_hot(scores.argmax(dim=2), num_symbols).float()
        found = _distances(hard, heard, read)
    matches = [Match(float(one), row) for one, row in zip(found, (scores.argmax(dim=2) + 1).tolist())]
    return sorted(matches, key=lambda one: one.distance)


def _distances(shares: Tensor, heard: Sequence[Tensor], read: Sequence[Tensor]) -> Tensor:
    """Of each restart (R,), by the shares (R, K, V) of symbols in units."""
    single = torch.einsum("k,rkv->rv", heard[0], shares) - read[0]
    total = single.square().sum(dim=1) / read[0].square().sum()
    for pairs, wanted in zip(heard[1:], read[1:]):
        found = torch.einsum("rkv,kl,rlw->rvw", shares, pairs, shares) - wanted
        total = total + found.square().sum(dim=(1, 2)) / wanted.square().sum()
    return total
