"""Plain searches to compare with: Python hypothesis objects for each utterance, as icefall's searches keep them.

The network is called once a frame for all hypotheses of all utterances; everything else is done one by one, and the
score of a hypothesis is a tensor of one element, as there.
"""

import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

import torch

from icefall_discrete.decoding.hypothesis import Hypothesis

Prefix = Tuple[int, ...]


def no_bonus(utterance: int, prefix: Prefix, unit: int) -> float:
    """What a scorer adds to `unit` after `prefix`; here nothing."""
    return 0.0


@dataclass
class PlainHypothesis:
    """Labels with their frames, and the log-probability (1,) of all alignments so far."""

    labels: List[int]
    timestamps: List[int]
    log_prob: torch.Tensor


def add_log(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


@torch.no_grad()
def plain_modified_beam_search(
    model, encoder_out, encoder_lens, beam_size=4, bonus=no_bonus, final=lambda utterance, prefix: 0.0
) -> List[List[Hypothesis]]:
    """All hypotheses in the last beam of each utterance, best first."""
    context_size = model.predictor.context_size
    am = model.joiner.encoder_proj(encoder_out)
    beams: List[List[PlainHypothesis]] = [[PlainHypothesis([], [], torch.zeros(1))] for _ in encoder_lens]
    for frame in range(int(encoder_lens.max())):
        active = [n for n, length in enumerate(encoder_lens.tolist()) if length > frame]
        rows = [(n, hypothesis) for n in active for hypothesis in beams[n]]
        contexts = [([-1] * (context_size - 1) + [0, *h.labels])[-context_size:] for _, h in rows]
        lm = model.joiner.decoder_proj(model.predictor(torch.tensor(contexts), need_pad=False).squeeze(1))
        am_rows = am[[n for n, _ in rows], frame]
        log_probs = model.joiner(am_rows, lm, project_input=False).log_softmax(dim=1)
        log_probs = log_probs + torch.cat([h.log_prob.reshape(1, 1) for _, h in rows])
        start = 0
        for n in active:
            hypotheses = beams[n]
            own = log_probs[start : start + len(hypotheses)]
            start += len(hypotheses)
            if bonus is not no_bonus:
                for row, h in enumerate(hypotheses):
                    for unit in range(1, own.size(1)):
                        own[row, unit] += bonus(n, tuple(h.labels), unit)
            beams[n] = _next_beam(own, hypotheses, frame, beam_size)
    for n, beam in enumerate(beams):
        for h in beam:
            h.log_prob = h.log_prob + final(n, tuple(h.labels))
        beam.sort(key=lambda h: -h.log_prob / (len(h.labels) + context_size))
    return [[Hypothesis(h.labels, h.timestamps, h.log_prob.item()) for h in beam] for beam in beams]


def _next_beam(log_probs, hypotheses, frame, beam_size) -> List[PlainHypothesis]:
    values, places = log_probs.flatten().topk(min(beam_size, log_probs.numel()))
    merged: Dict[str, PlainHypothesis] = {}
    for index, place in enumerate(places.tolist()):
        old, unit = hypotheses[place // log_probs.size(1)], place % log_probs.size(1)
        new = PlainHypothesis(old.labels[:], old.timestamps[:], values[index : index + 1])
        if unit != 0:
            new.labels.append(unit)
            new.timestamps.append(frame)
        key = "_".join(map(str, new.labels))
        if key in merged:
            merged[key].log_prob = torch.logaddexp(merged[key].log_prob, new.log_prob)
        else:
            merged[key] = new
    return list(merged.values())


def plain_ctc_prefix_beam_search(
    log_probs: torch.Tensor, beam_size: int, bonus: Callable = no_bonus
) -> List[Tuple[Prefix, float]]:
    """Prefixes of one utterance (T', V) with their log-probability, best first; equal scores in any order."""
    beam: Dict[Prefix, Tuple[float, float]] = {(): (0.0, -math.inf)}
    for row in log_probs.tolist():
        found: Dict[Prefix, List[float]] = {}
        for prefix, (blank, label) in beam.items():
            both = add_log(blank, label)
            stays = found.setdefault(prefix, [-math.inf, -math.inf])
            stays[0] = add_log(stays[0], both + row[0])
            if prefix:
                stays[1] = add_log(stays[1], label + row[prefix[-1]])
            for unit in range(1, len(row)):
                before = blank if prefix and prefix[-1] == unit else both
                longer = found.setdefault((*prefix, unit), [-math.inf, -math.inf])
                longer[1] = add_log(longer[1], before + row[unit] + bonus(0, prefix, unit))
        ranked = sorted(found.items(), key=lambda item: -add_log(*item[1]))
        beam = {prefix: tuple(scores) for prefix, scores in ranked[:beam_size]}
    return [(prefix, add_log(*scores)) for prefix, scores in beam.items()]
