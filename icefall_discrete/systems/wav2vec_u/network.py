"""Generator and discriminator of wav2vec-U.

Baevski et al. 2021, https://arxiv.org/abs/2105.11084; Liu et al. 2022, https://arxiv.org/abs/2204.02492. Letters: N
utterances, T segments, T' outputs, D dimensions, V symbols (of which 0 is silence), R runs. Padding reaches nothing: a
batch gives what each utterance alone gives.
"""

import itertools
from typing import List, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.systems.wav2vec_u.config import DiscriminatorConfig, GeneratorConfig


def within(lens: Tensor, size: int) -> Tensor:
    """(N, size) bool, true before the ends `lens` (N,)."""
    return torch.arange(size, device=lens.device) < lens.unsqueeze(1)


class Said(NamedTuple):
    """Scores (N, T', V) of symbols, zeros behind lens (N,); hidden (N, T, D): the residual layer's output, if any."""

    logits: Tensor
    lens: Tensor
    hidden: Optional[Tensor] = None


class Generator(nn.Module):
    """One convolution from segments to symbols; with `norm_scale` and `residual` that of 2.0."""

    def __init__(self, config: GeneratorConfig, dim: int, num_symbols: int, num_units: int = 0) -> None:
        super().__init__()
        self.config = config
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.BatchNorm1d(dim) if config.norm_scale else None
        if self.norm is not None:
            nn.init.constant_(self.norm.weight, config.norm_scale)
        self.beside = nn.Linear(dim, dim) if config.residual else None
        self.conv = nn.Conv1d(
            dim, num_symbols, config.kernel, config.stride, padding=config.kernel // 2, bias=config.bias
        )
        self.units = nn.Linear(dim, num_units) if num_units else None

    def lens_out(self, lens: Tensor) -> Tensor:
        """Outputs T' of utterances of `lens` segments."""
        padded = lens + 2 * (self.config.kernel // 2) - self.config.kernel
        return torch.div(padded, self.config.stride, rounding_mode="floor") + 1

    def forward(self, segments: Tensor, lens: Tensor) -> Said:
        """Scores of segments (N, T, D), zeros behind lens (N,)."""
        inside = within(lens, segments.shape[1])
        x = segments
        if self.norm is not None:
            x = torch.zeros_like(x).masked_scatter(inside.unsqueeze(2), self.norm(x[inside]))
        hidden = None
        if self.beside is not None:
            hidden = self.beside(self.dropout(x))
            x = (x + hidden).masked_fill(~inside.unsqueeze(2), 0.0)
        logits = self.conv(self.dropout(x).transpose(1, 2)).transpose(1, 2)
        lens = self.lens_out(lens)
        return Said(logits.masked_fill(~within(lens, logits.shape[1]).unsqueeze(2), 0.0), lens, hidden)


class Discriminator(nn.Module):
    """Convolutions that look back, and the mean over time: above 0 for what is no text."""

    def __init__(self, config: DiscriminatorConfig, num_symbols: int) -> None:
        super().__init__()
        sizes = [num_symbols, *[config.dim] * config.depth, 1]
        self._past = config.kernel - 1
        self.convs = nn.ModuleList(nn.Conv1d(a, b, config.kernel) for a, b in itertools.pairwise(sizes))

    def forward(self, symbols: Tensor, lens: Optional[Tensor] = None) -> Tensor:
        """One number (N,) for rows of symbols (N, T, V), as shares, that end at lens (N,); None: all of them."""
        x = symbols.transpose(1, 2)
        for place, conv in enumerate(self.convs):
            x = conv(F.pad(x, (self._past, 0)))
            if 0 < place < len(self.convs) - 1:
                x = F.gelu(x)
        x = x.squeeze(1)
        if lens is None:
            return x.mean(dim=1)
        return x.masked_fill(~within(lens, x.shape[1]), 0.0).sum(dim=1) / lens


def join_runs(said: Said, draw: bool) -> Said:
    """One output for each run of outputs whose best symbol is the same: a random one of them, or their mean.

    Args:
      draw: a random one, as in training, by torch's generator; else the mean of their scores.
    """
    logits, lens = said.logits, said.lens
    inside = within(lens, logits.shape[1])
    best = logits.argmax(dim=2)
    begins = inside.clone()
    begins[:, 1:] &= best[:, 1:] != best[:, :-1]
    number = begins.long().cumsum(dim=1) - 1
    num_runs = begins.sum(dim=1)
    runs = logits.new_zeros(len(logits), int(num_runs.max()), logits.shape[2])
    places = torch.where(inside, number, torch.zeros_like(number))
    counts = torch.zeros(runs.shape[:2], dtype=torch.int64, device=logits.device).scatter_add(1, places, inside.long())
    if not draw:
        shown = logits.masked_fill(~inside.unsqueeze(2), 0.0)
        sums = runs.scatter_add(1, places.unsqueeze(2).expand_as(shown), shown)
        return Said(sums / counts.clamp(min=1).unsqueeze(2), num_runs)
    starts = counts.cumsum(dim=1) - counts
    chosen = starts + (torch.rand(counts.shape, device=logits.device) * counts).long()
    is_run = within(num_runs, runs.shape[1])
    rows = logits.gather(1, chosen.clamp(max=logits.shape[1] - 1).unsqueeze(2).expand(-1, -1, logits.shape[2]))
    return Said(rows.masked_fill(~is_run.unsqueeze(2), 0.0), num_runs)


def best_symbols(said: Said) -> List[List[int]]:
    """The best symbol of each run, silence left out: what is said, without regard to what is probable as text."""
    found = []
    for row, length in zip(said.logits.argmax(dim=2).tolist(), said.lens.tolist()):
        runs = [symbol for place, symbol in enumerate(row[:length]) if place == 0 or symbol != row[place - 1]]
        found.append([symbol for symbol in runs if symbol])
    return found


class GanNetwork(nn.Module):
    """Both networks, so that a checkpoint keeps both."""

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
