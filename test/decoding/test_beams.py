"""A step of the beam: by numpy as without a look at any value, and the joiner's short way as its long one."""

import pytest
import torch

from icefall_discrete.decoding import beams, modified_beam
from icefall_discrete.decoding.beams import Beams, Candidates, start_beams
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor


class Heads:
    """All of a transducer that a beam asks for."""

    blank_id = 0
    predictor = StatelessPredictor(vocab_size=3, decoder_dim=4, context_size=2, blank_id=0)


def _score(num, size, units):
    return torch.randn(num, size, units, dtype=torch.float64)


@pytest.mark.parametrize("all_units", [True, False])
def test_a_step_by_numpy_is_the_one_without_values(all_units, monkeypatch):
    torch.manual_seed(0)
    here = there = start_beams(Heads, 5, 4, torch.device("cpu"))
    merged = 0
    for _ in range(12):
        # Three units and a beam of four: prefixes meet again and again.
        scores = _score(5, 4, 3) + here.score.unsqueeze(2)
        units = None if all_units else torch.stack([torch.randperm(3) for _ in range(20)]).view(5, 4, 3)
        steps = []
        for at_once, before in ((True, here), (False, there)):
            monkeypatch.setattr(beams, "answers_at_once", lambda device, answer=at_once: answer)
            steps.append(beams.advance_beams(before, Candidates(scores.clone(), units), Heads.blank_id))
        (here, *choice), (there, *other) = steps
        assert torch.equal(here.prefix, there.prefix) and all(map(torch.equal, choice, other))
        torch.testing.assert_close(here.score, there.score, rtol=1e-12, atol=1e-12)
        merged += int(here.score.isinf().sum())
    assert merged > 0 and isinstance(here, Beams)


def test_the_best_units_are_those_of_topk(monkeypatch):
    torch.manual_seed(0)
    log_probs = torch.randn(200, 30)
    expected = log_probs.topk(4, dim=1)
    rounds = modified_beam._ROWS_A_ROUND * 4
    assert len(log_probs) >= rounds, "fewer rows than numpy is asked for"
    scores, units = modified_beam._best_units(log_probs.clone(), 4)
    assert torch.equal(scores, expected.values) and torch.equal(units, expected.indices)


def test_logits_of_sums_are_those_of_the_joiner():
    torch.manual_seed(0)
    joiner = Joiner(8, 6, 12, 20)
    am, lm, out = torch.randn(7, 12), torch.randn(7, 12), torch.empty(7, 20)
    with torch.no_grad():
        expected = joiner(am, lm, project_input=False)
        torch.testing.assert_close(joiner.logits_of_sums((am + lm).numpy(), out), expected)
    torch.testing.assert_close(out, expected)
