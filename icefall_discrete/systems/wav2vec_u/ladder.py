"""Languages that are made up, on which it shows in minutes whether learning without pairs works at all.

First rung: symbols for symbols, by matching how often they follow one another (the theory: Wang et al. 2023,
https://arxiv.org/abs/2306.07926). Second rung: vectors for symbols, with noise, of one or two frames each, by the whole
of wav2vec-U. Beside each stands a control, text whose symbols are shuffled within lines, which nothing can be learnt
from. Letters: K units of speech, V symbols of text.
"""

from typing import List, NamedTuple, Sequence, Tuple

import kaldialign
import numpy as np
import torch
from torch import Tensor

Lines = List[List[int]]


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
