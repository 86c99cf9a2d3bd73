import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from torch import nn

from icefall_discrete.base.backend import resolve
from icefall_discrete.losses.transducer_loss import LossConfig, loss_weights, transducer_losses
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder, AttentionDecoderConfig
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor

BACKENDS = ["torch", *(["k2"] if resolve("auto") == "k2" else [])]
ALL_LOSSES = LossConfig(inner_ctc_loss_scale=0.3)


class Head(nn.Module):
    """The parts of a transducer that its losses touch."""

    def __init__(self, vocab_size=37, encoder_dim=64, decoder_dim=40, joiner_dim=48):
        super().__init__()
        self.blank_id = 0
        self.predictor = StatelessPredictor(vocab_size, decoder_dim, 0, 2)
        self.joiner = Joiner(encoder_dim, decoder_dim, joiner_dim, vocab_size)
        self.simple_am_proj = nn.Linear(encoder_dim, vocab_size)
        self.simple_lm_proj = nn.Linear(decoder_dim, vocab_size)
        self.ctc_output = nn.Linear(encoder_dim, vocab_size)
        self.inner_ctc_outputs = nn.ModuleList([nn.Linear(encoder_dim, vocab_size)])


def random_batch():
    torch.manual_seed(5)
    model = Head().eval()
    out, lens = torch.randn(3, 20, 64), torch.tensor([20, 17, 9])
    labels = torch.randint(1, 37, (3, 6))
    encoded = SimpleNamespace(encoder_out=out, lens=lens, inner=[(out * 0.5, lens)])
    return model, encoded, labels, torch.tensor([6, 0, 4])


def load_golden():
    with numpy.load(Path(__file__).parents[1] / "assets" / "transducer_head_golden.npz") as arrays:
        golden = {key: torch.from_numpy(numpy.asarray(arrays[key])) for key in arrays}
    names = {"decoder": "predictor", "ctc_output.1": "ctc_output"}
    own_names = {}
    for key in golden:
        if key.startswith("param/"):
            theirs = key[len("param/") :]
            prefix = next((p for p in names if theirs.startswith(p + ".")), None)
            own_names[theirs] = theirs if prefix is None else names[prefix] + theirs[len(prefix) :]
    model = Head().eval()
    model.load_state_dict({own: golden["param/" + theirs] for theirs, own in own_names.items()}, strict=False)
    # The weights were stored as the search saw them: with a sharper joiner and a bias for blank.
    with torch.no_grad():
        model.joiner.output_linear.weight.div_(golden["search/joiner_output_weight_scale"])
        model.joiner.output_linear.bias[0] -= golden["search/joiner_output_blank_bias_added"]
    return golden, model, own_names


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden_losses_and_gradients(backend):
    golden, model, own_names = load_golden()
    label_lens = golden["y_lens"]
    labels = nn.utils.rnn.pad_sequence(golden["y"].split(label_lens.tolist()), batch_first=True, padding_value=-7)
    encoded = SimpleNamespace(encoder_out=golden["encoder_out"], lens=golden["encoder_lens"], inner=[])
    losses = transducer_losses(model, encoded, labels, label_lens, LossConfig(), backend)
    for name in ("simple", "pruned", "ctc"):
        assert getattr(losses, name).item() == pytest.approx(golden[f"{name}_loss"].item(), rel=1e-6)
    assert losses.inner_ctc is None
    losses.total(step=2000).backward()
    parameters = dict(model.named_parameters())
    for theirs, own in own_names.items():
        assert parameters[own].grad.norm().item() == pytest.approx(golden["grad_norm/" + theirs].item(), rel=1e-4)


def test_weights_move_from_simple_to_pruned():
    config = LossConfig(transducer_loss_scale=2.0, rnnt_warm_step=100)
    assert loss_weights(config, 0) == pytest.approx({"simple": 2.0, "pruned": 0.2, "ctc": 0.2, "inner_ctc": 0.0})
    assert loss_weights(config, 50) == pytest.approx({"simple": 1.5, "pruned": 1.1, "ctc": 0.2, "inner_ctc": 0.0})
    for step in (100, 1000):
        assert loss_weights(config, step) == pytest.approx({"simple": 1.0, "pruned": 2.0, "ctc": 0.2, "inner_ctc": 0.0})


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_is_the_sum_of_its_utterances(backend):
    model, encoded, labels, label_lens = random_batch()
    together = transducer_losses(model, encoded, labels, label_lens, ALL_LOSSES, backend)
    for n in range(3):
        length = int(encoded.lens[n])
        one = SimpleNamespace(
            encoder_out=encoded.encoder_out[n : n + 1, :length], lens=encoded.lens[n : n + 1], inner=[]
        )
        one.inner = [(encoded.inner[0][0][n : n + 1, :length], one.lens)]
        num_labels = int(label_lens[n])
        alone = transducer_losses(
            model, one, labels[n : n + 1, :num_labels], label_lens[n : n + 1], ALL_LOSSES, backend
        )
        for name, values in together.per_utterance.items():
            assert getattr(alone, name).item() == pytest.approx(values[n].item(), rel=2e-5), name
    expected = 0.5 * together.simple + together.pruned + 0.2 * together.ctc + 0.3 * together.inner_ctc
    assert together.total(5000).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_scale_of_zero_computes_nothing():
    model, encoded, labels, label_lens = random_batch()
    ctc_only = SimpleNamespace(blank_id=0, ctc_output=model.ctc_output)
    config = LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=1.0)
    losses = transducer_losses(ctc_only, encoded, labels, label_lens, config, "torch")
    assert losses.simple is None and losses.pruned is None and losses.inner_ctc is None
    assert losses.total(0).item() == losses.ctc.item()
    with pytest.raises(ValueError, match="must be above 0"):
        LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=0.0)


def test_ctc_equals_a_count_of_all_alignments():
    model, encoded, _, _ = random_batch()
    short = SimpleNamespace(encoder_out=encoded.encoder_out[:1, :3], lens=torch.tensor([3]), inner=[])
    config = LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=1.0)
    loss = transducer_losses(model, short, torch.tensor([[4, 9]]), torch.tensor([2]), config, "torch").ctc
    log_probs = model.ctc_output(short.encoder_out)[0].log_softmax(dim=1).detach()
    ways = [(0, 4, 9), (4, 0, 9), (4, 9, 0), (4, 4, 9), (4, 9, 9)]
    total = sum(math.exp(sum(float(log_probs[t, unit]) for t, unit in enumerate(way))) for way in ways)
    assert loss.item() == pytest.approx(-math.log(total), rel=1e-5)


def test_non_finite_losses_name_their_utterance():
    model, encoded, labels, label_lens = random_batch()
    assert transducer_losses(model, encoded, labels, label_lens, ALL_LOSSES, "torch").finite()
    crowded = SimpleNamespace(encoder_out=encoded.encoder_out, lens=torch.tensor([20, 17, 2]), inner=encoded.inner)
    losses = transducer_losses(model, crowded, labels, label_lens, ALL_LOSSES, "torch")
    assert not losses.finite()
    assert losses.finite_utterances().tolist() == [True, True, False]


def test_losses_are_float32_under_autocast():
    model, encoded, labels, label_lens = random_batch()
    exact = transducer_losses(model, encoded, labels, label_lens, ALL_LOSSES, "torch")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = transducer_losses(model, encoded, labels, label_lens, ALL_LOSSES, "torch")
    for name, values in exact.per_utterance.items():
        assert mixed.per_utterance[name].dtype == torch.float32
        torch.testing.assert_close(mixed.per_utterance[name], values, rtol=2e-2, atol=2e-2)


def test_inner_scale_without_inner_heads_is_explained():
    model, encoded, labels, label_lens = random_batch()
    model.inner_ctc_outputs = nn.ModuleList()
    with pytest.raises(ValueError, match="the model has 0 inner CTC heads and the encoder gave 1"):
        transducer_losses(model, encoded, labels, label_lens, ALL_LOSSES, "torch")


@pytest.mark.parametrize("views", [1, 2])
def test_the_attention_decoder_is_added_and_a_bad_utterance_named(views):
    model, encoded, labels, label_lens = random_batch()
    torch.manual_seed(6)
    model.attention_decoder = AttentionDecoder(AttentionDecoderConfig(16, 1, 2, 24), 64, 37, 1).eval()
    out, lens = encoded.encoder_out.repeat(views, 1, 1), encoded.lens.repeat(views)
    config = LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=0.3, cr_loss_scale=0.1 * (views - 1))
    config = dataclasses.replace(config, attention_decoder_loss_scale=0.7, label_smoothing=0.0)
    both = SimpleNamespace(encoder_out=out, lens=lens, inner=[])
    losses = transducer_losses(model, both, labels, label_lens, config, "torch")
    scores = model.attention_decoder.score(encoded.encoder_out, encoded.lens, labels, label_lens)
    torch.testing.assert_close(losses.per_utterance["attention_decoder"], -scores.sum(dim=1).detach())
    total = 0.3 * losses.ctc + 0.7 * losses.attention_decoder
    assert losses.total(0).item() == pytest.approx(total.item(), rel=1e-6)
    out[2, 3] = float("nan")
    found = transducer_losses(model, both, labels, label_lens, config, "torch")
    assert found.finite_utterances().tolist() == [True, True, False]
    assert found.per_utterance["attention_decoder"][2].isnan()
