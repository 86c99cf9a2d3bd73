"""A step of modified beam search by numpy, as a CPU takes it, is the one by PyTorch that looks at no value."""

import pytest
import torch
from toy_transducer import random_model

from icefall_discrete.decoding import beams, modified_beam
from icefall_discrete.decoding.beams import Beams, Candidates, start_beams
from icefall_discrete.decoding.modified_beam import BeamConfig
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


def test_the_best_units_are_those_of_topk():
    torch.manual_seed(0)
    log_probs = torch.randn(200, 30)
    expected = log_probs.topk(4, dim=1)
    rounds = modified_beam._ROWS_A_ROUND * 4
    assert len(log_probs) >= rounds, "fewer rows than numpy is asked for"
    for rows in (slice(None), slice(rounds - 1)):
        scores, units = modified_beam._best_units(log_probs[rows].clone().numpy(), 4)
        assert torch.equal(torch.from_numpy(scores), expected.values[rows])
        assert torch.equal(torch.from_numpy(units), expected.indices[rows])


@torch.no_grad()
@pytest.mark.parametrize("context_size", [1, 2, 3])
def test_predictor_and_joiner_by_numpy_are_those_by_pytorch(context_size):
    torch.manual_seed(0)
    predictor = StatelessPredictor(vocab_size=9, decoder_dim=8, blank_id=0, context_size=context_size)
    joiner, tables = Joiner(8, 8, 12, 20), predictor.tables()
    contexts = torch.randint(-1, 9, (7, context_size))
    contexts[0] = -1
    outputs = predictor.from_tables_here(tables.numpy(), contexts.numpy())
    assert torch.equal(torch.from_numpy(outputs), predictor.from_tables(tables, contexts))
    torch.testing.assert_close(torch.from_numpy(outputs), predictor.eval()(contexts, need_pad=False)[:, 0])
    am, lm, logits = torch.randn(7, 12), torch.empty(7, 12), torch.empty(7, 20)
    joiner.predictions_of(outputs, lm.numpy())
    torch.testing.assert_close(lm, joiner.decoder_proj(torch.from_numpy(outputs)))
    joiner.logits_of_sums((am + lm).numpy(), logits.numpy())
    torch.testing.assert_close(logits, joiner(am, lm, project_input=False))


@torch.no_grad()
@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("utterances", [1, 12])
def test_what_may_follow_is_by_numpy_what_it_is_by_pytorch(utterances, scored, monkeypatch):
    model, config = random_model(vocab_size=7), BeamConfig(3, blank_penalty=0.3, temperature=1.4)
    add_to = (lambda log_probs: log_probs * 0.5) if scored else None
    here = there = start_beams(model, utterances, 3, torch.device("cpu"))
    ways = [modified_beam.NextUnits(model, config) for _ in range(2)]
    for am in torch.randn(6, utterances, 10):
        found = []
        for at_once, beam, way in zip((True, False), (here, there), ways):
            monkeypatch.setattr(modified_beam, "answers_at_once", lambda device, answer=at_once: answer)
            found.append(way.candidates(am, beam, add_to))
        torch.testing.assert_close(found[0].scores, found[1].scores)
        assert scored or torch.equal(found[0].units, found[1].units)
        here, there = (beams.advance_beams(beam, one, model.blank_id)[0] for beam, one in zip((here, there), found))
        assert torch.equal(here.prefix, there.prefix)
    assert here.prefix[..., -2].max() > 1
