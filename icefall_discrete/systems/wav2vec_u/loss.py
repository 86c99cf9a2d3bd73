"""Losses of wav2vec-U: tensors in, sums over the utterances of a batch out.

As in fairseq, but for what padding does: there it counts in the mean symbol, in the mean difference of neighbours and
between text and speech, here it does not. Without padding they are equal.
"""

from typing import Dict, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.systems.wav2vec_u.config import LossConfig
from icefall_discrete.systems.wav2vec_u.network import Discriminator, Said, within

_TINY = 1e-7


class Rows(NamedTuple):
    """Shares of symbols (N, T, V), zeros behind lens (N,): one at the symbol of a text, or what a generator says."""

    shares: Tensor
    lens: Tensor


def judged(scores: Tensor, is_text: bool) -> Tensor:
    """Nats, summed, that a discriminator's scores (N,) cost where it should say text, or no text."""
    target = torch.zeros_like(scores) if is_text else torch.ones_like(scores)
    return F.binary_cross_entropy_with_logits(scores, target, reduction="sum")


def gradient_penalty(discriminator: Discriminator, text: Rows, speech: Rows) -> Tensor:
    """Squared distance from 1 of the gradient's length over time, summed over utterances and symbols.

    Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, at a random point between a text and an utterance, both as
    long as the shorter of them.
    """
    size = min(len(text.shares), len(speech.shares))
    lens = torch.minimum(text.lens[:size], speech.lens[:size])
    length = int(lens.max())
    real, fake = text.shares[:size, :length], speech.shares[:size, :length].detach()
    share = torch.rand(size, 1, 1).to(real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(between, lens).sum(), between, create_graph=True)
    return (slope.norm(2, dim=1) - 1).square().sum()


def smoothness(said: Said) -> Tensor:
    """Mean squared difference of the scores of neighbours."""
    squares = (said.logits[:, :-1] - said.logits[:, 1:]).square()
    inside = within(said.lens - 1, squares.shape[1])
    return squares[inside].sum() / (inside.sum() * squares.shape[2]).clamp(min=1)


def lack_of_symbols(said: Said) -> Tensor:
    """1 - P / V, where P is the perplexity of the mean over all outputs of the shares of V symbols."""
    shares = said.logits[within(said.lens, said.logits.shape[1])].softmax(dim=1).mean(dim=0)
    return 1 - torch.exp(-(shares * torch.log(shares + _TINY)).sum()) / len(shares)


def unit_errors(scores: Tensor, units: Tensor) -> Tensor:
    """Mean cross-entropy of units (N, T), -1 where there is none, by scores (N, T, U)."""
    return F.cross_entropy(scores.flatten(0, 1), units.flatten(), ignore_index=-1)


def discriminator_losses(
    discriminator: Discriminator, text: Rows, speech: Rows, config: LossConfig
) -> Dict[str, Tensor]:
    """What the discriminator's step minimises, by name, weighted and summed over the batch."""
    found = {
        "text_d": judged(discriminator(*text), True),
        "speech_d": judged(discriminator(*speech), False),
    }
    if config.gradient_penalty:
        found["gradient_penalty"] = config.gradient_penalty * gradient_penalty(discriminator, text, speech)
    return found


def generator_losses(discriminator: Discriminator, said: Said, config: LossConfig) -> Dict[str, Tensor]:
    """What the generator's step minimises, but for the units, likewise; `said` are the runs that are judged."""
    size = len(said.logits)
    found = {"speech_g": judged(discriminator(said.logits.softmax(dim=2), said.lens), True)}
    if config.smoothness:
        found["smoothness"] = config.smoothness * size * smoothness(said)
    if config.diversity:
        found["diversity"] = config.diversity * size * lack_of_symbols(said)
    return found
