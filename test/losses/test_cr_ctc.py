import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from icefall_discrete.losses.cr_ctc import consistency_loss
from icefall_discrete.losses.transducer_loss import LossConfig, loss_weights, transducer_losses
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor

CONFIG = LossConfig(cr_loss_scale=0.2, inner_ctc_loss_scale=0.3)


class Head(nn.Module):
    def __init__(self, vocab_size=9, dim=12):
        super().__init__()
        self.blank_id = 0
        self.predictor = StatelessPredictor(vocab_size, 8, 0, 2)
        self.joiner = Joiner(dim, 8, 10, vocab_size)
        self.simple_am_proj, self.simple_lm_proj = nn.Linear(dim, vocab_size), nn.Linear(8, vocab_size)
        self.ctc_output = nn.Linear(dim, vocab_size)
        self.inner_ctc_outputs = nn.ModuleList([nn.Linear(dim, vocab_size)])


def encoded(out, lens):
    return SimpleNamespace(encoder_out=out, lens=lens, inner=[(out * 0.5, lens)])


@pytest.fixture
def batch():
    torch.manual_seed(3)
    model = Head().eval()
    lens = torch.tensor([14, 9, 11])
    views = torch.randn(6, 14, 12) * 2.0
    return model, views, lens, torch.randint(1, 9, (3, 4)), torch.tensor([4, 0, 3])


def plain_consistency(logits, lens):
    """Half of both divergences, utterance by utterance, with the targets cut off from the gradient."""
    losses = []
    for first, second, length in zip(*logits.chunk(2), lens.tolist()):
        p, q = (x[:length].softmax(dim=1) for x in (first, second))
        to_first = (q.detach() * (q.detach() / p).log()).sum()
        to_second = (p.detach() * (p.detach() / q).log()).sum()
        losses.append(0.5 * (to_first + to_second))
    return torch.stack(losses)


def test_value_and_gradient_equal_a_plain_rendition():
    torch.manual_seed(0)
    logits = (torch.randn(6, 14, 9, dtype=torch.float64) * 3.0).requires_grad_()
    lens, weights = torch.tensor([14, 9, 11]), torch.tensor([1.0, -2.0, 0.5])
    mine = consistency_loss(logits.log_softmax(dim=2), lens.repeat(2))
    plain = plain_consistency(logits, lens)
    torch.testing.assert_close(mine, plain)
    gradients = [torch.autograd.grad((loss * weights).sum(), logits)[0] for loss in (mine, plain)]
    torch.testing.assert_close(*gradients)
    assert float(gradients[0][1, 9:].abs().max()) == 0.0 < float(gradients[0][1, :9].abs().min())
    assert not consistency_loss(logits[:3].repeat(2, 1, 1).log_softmax(dim=2), lens.repeat(2)).any()


def test_two_views_give_the_mean_of_their_losses_and_the_consistency(batch):
    model, views, lens, labels, label_lens = batch
    both = transducer_losses(model, encoded(views, lens.repeat(2)), labels, label_lens, CONFIG, "torch")
    alone = [
        transducer_losses(model, encoded(view, lens), labels, label_lens, CONFIG, "torch") for view in views.chunk(2)
    ]
    assert set(both.per_utterance) == {"simple", "pruned", "ctc", "inner_ctc", "cr"}
    for name in ("simple", "pruned", "ctc", "inner_ctc"):
        mean = 0.5 * (alone[0].per_utterance[name] + alone[1].per_utterance[name])
        torch.testing.assert_close(both.per_utterance[name], mean, rtol=1e-5, atol=1e-5)
        assert getattr(both, name).item() == pytest.approx(mean.sum().item(), rel=1e-5)
    assert alone[0].cr is None
    torch.testing.assert_close(both.per_utterance["cr"], plain_consistency(model.ctc_output(views), lens))
    step = 500
    expected = sum(weight * getattr(both, name) for name, weight in loss_weights(CONFIG, step).items())
    assert both.total(step).item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss_weights(CONFIG, step)["cr"] == pytest.approx(0.05)
    assert loss_weights(CONFIG, 5000)["cr"] == pytest.approx(0.2)


def test_gradients_of_all_weights_equal_those_of_the_formula_written_out(batch):
    """CTC only: half of CTC of both views, plus the weighted consistency."""
    model, views, lens, labels, label_lens = batch
    views.requires_grad_()
    config = LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=1.0, cr_loss_scale=0.2, rnnt_warm_step=0)
    total = transducer_losses(model, encoded(views, lens.repeat(2)), labels, label_lens, config, "torch").total(1)
    logits = model.ctc_output(views)
    ctc = F.ctc_loss(
        logits.log_softmax(dim=2).transpose(0, 1),
        labels.repeat(2, 1),
        lens.repeat(2),
        label_lens.repeat(2),
        reduction="sum",
    )
    plain = 0.5 * ctc + 0.2 * plain_consistency(logits, lens).sum()
    assert total.item() == pytest.approx(plain.item(), rel=1e-6)
    inputs = (views, *model.ctc_output.parameters())
    for mine, theirs in zip(torch.autograd.grad(total, inputs), torch.autograd.grad(plain, inputs)):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_bad_second_view_names_its_utterance(batch):
    model, views, lens, labels, label_lens = batch
    views[5, 0, 0] = float("nan")
    losses = transducer_losses(model, encoded(views, lens.repeat(2)), labels, label_lens, CONFIG, "torch")
    assert losses.finite_utterances().tolist() == [True, True, False]


def test_the_loss_is_float32_under_autocast(batch):
    model, views, lens, labels, label_lens = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = transducer_losses(model, encoded(views, lens.repeat(2)), labels, label_lens, CONFIG, "torch")
    assert losses.cr.dtype == torch.float32
    exact = plain_consistency(model.ctc_output(views), lens).sum()
    assert losses.cr.item() == pytest.approx(exact.item(), rel=2e-2)


def test_wrong_use_is_explained(batch):
    model, views, lens, labels, label_lens = batch
    with pytest.raises(ValueError, match="only with a CTC loss"):
        LossConfig(cr_loss_scale=0.1, ctc_loss_scale=0.0)
    with pytest.raises(ValueError, match="cr_loss_scale is -1"):
        LossConfig(cr_loss_scale=-1.0)
    off = dataclasses.replace(CONFIG, cr_loss_scale=0.0)
    with pytest.raises(ValueError, match=r"6 encoder outputs for the labels of 3 utterances; expected one for each\."):
        transducer_losses(model, encoded(views, lens.repeat(2)), labels, label_lens, off, "torch")
    with pytest.raises(ValueError, match=r"5 encoder outputs .* or two views of all"):
        transducer_losses(model, encoded(views[:5], lens), labels, label_lens, CONFIG, "torch")
