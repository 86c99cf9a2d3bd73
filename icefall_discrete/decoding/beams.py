"""The prefixes that modified beam search follows, and one step of theirs.

A step moves a few hundred numbers. On the CPU it is done by numpy, whose operations cost a fraction of PyTorch's there;
on an accelerator by operations that never ask for a value.
"""

from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import initial_context
from icefall_discrete.decoding.prediction import answers_at_once
from icefall_discrete.nn.heads.contract import TransducerModel

# Prefixes are told apart by a 64-bit polynomial hash, wrapping around; the multiplier is odd.
HASH_MULTIPLIER = 6364136223846793005


@dataclass
class Beams:
    """The prefixes of N utterances, K each; a slot that is not in use has score -inf."""

    score: Tensor  # (N, K) nats
    prefix: Tensor  # (N, K, context_size + 2) int64: the context, the length, the hash

    def first(self, num: int) -> "Beams":
        """The first `num` utterances, as views."""
        return Beams(self.score[:num], self.prefix[:num])


class Candidates(NamedTuple):
    """What may follow the K prefixes of N utterances: scores (N, K, L) in nats, and units; None: the L are all."""

    scores: Tensor
    units: Optional[Tensor]


def start_beams(model: TransducerModel, num: int, beam_size: int, device: torch.device) -> Beams:
    """One empty prefix for each utterance."""
    score = torch.full((num, beam_size), float("-inf"), device=device)
    score[:, 0] = 0.0
    context = initial_context(num * beam_size, model.predictor.context_size, model.blank_id, device)
    prefix = torch.cat([context, context.new_zeros(num * beam_size, 2)], dim=1)
    return Beams(score, prefix.view(num, beam_size, prefix.size(1)))


def advance_beams(beams: Beams, candidates: Candidates, blank_id: int) -> Tuple[Beams, Tensor, Tensor]:
    """The best extensions of the prefixes in `beams`, and each one's parent slot and unit (N, K)."""
    score, place = candidates.scores.flatten(1).topk(beams.score.size(1), dim=1)
    advance = _advance_here if answers_at_once(score.device) else _advance_afar
    return advance(beams, candidates, score, place, blank_id)


def first_slots(keys: np.ndarray) -> np.ndarray:
    """The first slot (N, K) of each utterance whose key is that of the slot; keys: (N, K)."""
    return (keys[:, :, None] == keys[:, None, :]).argmax(axis=2)


def _advance_here(
    beams: Beams, candidates: Candidates, score: Tensor, place: Tensor, blank_id: int
) -> Tuple[Beams, Tensor, Tensor]:
    """By numpy; score and place (N, K) of the best candidates among all of their utterance."""
    (num, size), width, places = score.shape, candidates.scores.size(2), place.numpy()
    firsts = np.arange(0, num * size, size)[:, None]
    parent = places // width
    if candidates.units is None:
        unit = places - parent * width
    else:
        unit = candidates.units.numpy().take(places + firsts * width)
    prefix = beams.prefix.flatten(0, 1).numpy().take((parent + firsts).ravel(), axis=0)
    emitting = (unit.ravel() != blank_id).nonzero()[0]
    longer, appended = prefix.take(emitting, axis=0), unit.ravel().take(emitting)
    longer[:, :-3] = longer[:, 1:-2]
    longer[:, -3] = appended
    longer[:, -2] += 1
    longer[:, -1] = longer[:, -1] * HASH_MULTIPLIER + appended
    prefix[emitting] = longer
    prefix = prefix.reshape(num, size, -1)
    merged = _merged_here(score.numpy(), prefix[..., -1])
    return Beams(torch.from_numpy(merged), torch.from_numpy(prefix)), torch.from_numpy(parent), torch.from_numpy(unit)


def _merged_here(score: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """As `_merged_afar`, in `score` itself; only utterances with equal prefixes are looked at."""
    same = hashes[:, :, None] == hashes[:, None, :]
    if np.count_nonzero(same) > hashes.size:
        later = same.argmax(axis=2) != np.arange(hashes.shape[1])
        rows = later.any(axis=1).nonzero()[0]
        total = np.logaddexp.reduce(np.where(same[rows], score[rows][:, None, :], -np.inf), axis=2)
        score[rows] = np.where(later[rows], -np.inf, total)
    return score


def _advance_afar(
    beams: Beams, candidates: Candidates, score: Tensor, place: Tensor, blank_id: int
) -> Tuple[Beams, Tensor, Tensor]:
    """As `_advance_here`, without a look at any value."""
    width = candidates.scores.size(2)
    parent = torch.div(place, width, rounding_mode="floor")
    unit = place - parent * width if candidates.units is None else candidates.units.flatten(1).gather(1, place)
    prefix = beams.prefix.gather(1, parent.unsqueeze(2).expand(-1, -1, beams.prefix.size(2)))
    appended = unit.unsqueeze(2)
    hashes = prefix[..., -1:] * HASH_MULTIPLIER + appended
    longer = torch.cat([prefix[..., 1:-2], appended, prefix[..., -2:-1] + 1, hashes], dim=2)
    prefix = torch.where(appended != blank_id, longer, prefix)
    return Beams(_merged_afar(score, prefix[..., -1]), prefix), parent, unit


def _merged_afar(score: Tensor, hashes: Tensor) -> Tensor:
    """Add up the probabilities of equal prefixes in the first of them, and set the others to -inf."""
    same = hashes.unsqueeze(2) == hashes.unsqueeze(1)
    earlier = same.tril(diagonal=-1).any(dim=2)
    total = score.unsqueeze(1).masked_fill(~same, float("-inf")).logsumexp(dim=2)
    return total.masked_fill(earlier, float("-inf"))
