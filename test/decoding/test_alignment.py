"""Alignments of known labels: those of the best of all ways, enumerated, for CTC and for a transducer."""

import itertools
import math

import pytest
import torch
from toy_transducer import random_model, random_output

from icefall_discrete.decoding.ctc_alignment import ctc_frames, ctc_spans
from icefall_discrete.decoding.transducer_alignment import transducer_way


def best_ctc_spans(log_probs, labels):
    """The spans of the best of all alignments, by enumeration."""
    best, spans = -math.inf, None
    for units in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        runs = [(unit, len(list(run))) for unit, run in itertools.groupby(units)]
        if [unit for unit, _ in runs if unit] != labels:
            continue
        score = sum(log_probs[frame, unit].item() for frame, unit in enumerate(units))
        if score > best:
            starts = list(itertools.accumulate((size for _, size in runs), initial=0))
            best = score
            spans = [(start, start + size) for start, (unit, size) in zip(starts, runs) if unit]
    return spans


@pytest.mark.parametrize("labels", [[3], [2, 2], [1, 2], [1, 1, 3], [1, 2, 3, 1, 2, 3], [1, 1, 1, 1]])
def test_spans_of_ctc_are_those_of_the_best_way(labels):
    torch.manual_seed(4)
    log_probs = (2.0 * torch.randn(6, 4)).log_softmax(dim=1)
    spans = ctc_spans(log_probs, labels, 0)
    assert spans == best_ctc_spans(log_probs, labels)
    begins = ctc_frames(log_probs.unsqueeze(0), torch.tensor([6]), [0], [labels], 0)[0]
    assert begins == (None if spans is None else [begin for begin, _ in spans])


def score_of(model, encoder_out, labels, frames):
    """The log-probability of a way, step by step as a search takes it."""
    context, total, given = [-1] * (model.predictor.context_size - 1) + [0], 0.0, list(zip(frames, labels))
    for frame in range(len(encoder_out)):
        while True:
            predicted = model.predictor(torch.tensor([context]), need_pad=False)[0, 0]
            log_probs = model.joiner(encoder_out[frame], predicted).log_softmax(dim=-1)
            if not given or given[0][0] != frame:
                total += log_probs[0].item()
                break
            label = given.pop(0)[1]
            total += log_probs[label].item()
            context = [*context[1:], label]
    return total


@torch.no_grad()
@pytest.mark.parametrize("context_size, labels", [(2, [3]), (2, [5, 5]), (1, [1, 2, 3]), (3, [4, 9])])
def test_the_way_of_a_transducer_is_the_best_of_all(context_size, labels):
    model = random_model(context_size=context_size, seed=context_size)
    encoder_out = random_output(num=1, num_frames=5)[0][0]
    ways = itertools.combinations_with_replacement(range(5), len(labels))
    scores = {frames: score_of(model, encoder_out, labels, frames) for frames in ways}
    found = transducer_way(model, encoder_out, labels)
    assert tuple(found.frames) == max(scores, key=scores.get)
    assert all(log_prob < 0 for log_prob in found.log_probs)
    assert transducer_way(model, encoder_out[:0], labels) is None
    # In parts: as many frames as the joiner does not take at once.
    longer = encoder_out.repeat(30, 1)
    assert len(transducer_way(model, longer, labels).frames) == len(labels)
