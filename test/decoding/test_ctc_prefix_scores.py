"""CTC prefix scores against the enumeration of all paths, in double precision."""

import itertools
import math

import pytest
import torch

from icefall_discrete.decoding import ctc_prefix_scores
from icefall_discrete.decoding.ctc_prefix_scores import CtcPrefixScores

V = 4
LENS = [6, 1, 4, 0]


def log_probs_of(num=4, frames=6, seed=0):
    torch.manual_seed(seed)
    return (2.0 * torch.randn(num, frames, V, dtype=torch.float64)).log_softmax(dim=2)


def scores_of(log_probs, lens=LENS):
    return CtcPrefixScores(log_probs, torch.tensor(lens), 0)


def probability_of_each_output(log_probs):
    """From label sequence to probability, for one utterance (T', V)."""
    totals = {}
    for units in itertools.product(range(V), repeat=len(log_probs)):
        labels = tuple(unit for unit, _ in itertools.groupby(units) if unit)
        path = math.exp(math.fsum(log_probs[frame, unit].item() for frame, unit in enumerate(units)))
        totals.setdefault(labels, []).append(path)
    return {labels: math.fsum(paths) for labels, paths in totals.items()}


def all_prefixes(scores, utterance, most):
    """Pairs of labels and prefixes, all of those with up to `most` labels."""
    found, level = [], [((), scores.start(torch.tensor([utterance])))]
    for _ in range(most + 1):
        found += level
        level = [
            ((*labels, unit), scores.append(prefix, torch.tensor([unit])))
            for labels, prefix in level
            for unit in (1, 2, 3)
        ]
    return found


@pytest.mark.parametrize("utterance", range(4))
def test_equal_to_all_paths_and_no_probability_is_lost(utterance):
    log_probs = log_probs_of()
    totals = probability_of_each_output(log_probs[utterance, : LENS[utterance]])
    scores = scores_of(log_probs)
    for labels, prefix in all_prefixes(scores, utterance, 4):
        whole = scores.ended(prefix).exp().item()
        begins = math.fsum(total for said, total in totals.items() if said[: len(labels)] == labels)
        assert whole == pytest.approx(totals.get(labels, 0.0), abs=1e-12)
        assert prefix.score.exp().item() == pytest.approx(begins, abs=1e-12)
        following = scores.following(prefix).exp()
        assert following[0, 0] == 0.0  # blank
        assert following.sum().item() + whole == pytest.approx(begins, abs=1e-12)
        longer = [scores.append(prefix, torch.tensor([unit])).score.exp().item() for unit in (1, 2, 3)]
        assert following[0, 1:].tolist() == pytest.approx(longer, abs=1e-12)


def test_frames_behind_the_end_and_others_in_the_batch_change_nothing():
    log_probs = log_probs_of(frames=9)
    lens = [9, 5, 7, 2]
    rows = [[1, 1, 2], [3, 1, 3], [2, 2, 2], [1, 2, 3]]
    together = scores_of(log_probs, lens)
    prefixes = together.start(torch.arange(4))
    for labels in torch.tensor(rows).T:
        prefixes = together.append(prefixes, labels)
    asked = torch.tensor([[3, 2], [3, 0], [2, 1], [1, 3]])
    for n, labels in enumerate(rows):
        alone = scores_of(log_probs[n : n + 1, : lens[n]], lens[n : n + 1])
        prefix = alone.start(torch.tensor([0]))
        for label in labels:
            prefix = alone.append(prefix, torch.tensor([label]))
        own = prefixes.rows(torch.tensor([n]))
        for found, expected in (
            (own.score, prefix.score),
            (together.ended(own), alone.ended(prefix)),
            (together.following(own, asked[n : n + 1]), alone.following(prefix)[:, asked[n]]),
        ):
            torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_all_labels_are_what_single_ones_are_however_many_fit_at_once(monkeypatch):
    scores = scores_of(log_probs_of())
    prefixes = scores.append(scores.start(torch.tensor([0, 2, 3])), torch.tensor([1, 2, 3]))
    whole = scores.following(prefixes)
    assert whole.shape == (3, V)
    monkeypatch.setattr(ctc_prefix_scores, "_MOST_AT_ONCE", 1)
    assert torch.equal(scores.following(prefixes), whole)
    assert torch.equal(
        scores.following(prefixes, torch.tensor([[2], [1], [3]])), whole.gather(1, torch.tensor([[2], [1], [3]]))
    )


def test_a_unit_that_may_not_be_found_takes_all_that_begins_with_it_along():
    log_probs = log_probs_of()
    log_probs[..., 2] = float("-inf")
    scores = scores_of(log_probs)
    prefix = scores.append(scores.start(torch.tensor([0])), torch.tensor([1]))
    following = scores.following(prefix)[0].tolist()
    assert following[2] == float("-inf") and all(math.isfinite(following[unit]) for unit in (1, 3))
    never = scores.append(prefix, torch.tensor([2]))
    assert never.score.item() == scores.ended(never).item() == float("-inf")
    assert not scores.following(never).isnan().any()
