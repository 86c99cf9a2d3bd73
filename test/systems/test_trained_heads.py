"""Heads exist only if a loss trains them; what asks for another one is told."""

import pytest
import torch
from synthetic_codes import make_trainer
from toy_models import CODES, CONFIG
from toy_settings import changed

from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.decoding.search import search
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.asr.transducer import Heads, build_transducer

INNER = changed(CONFIG, inner_ctc_stacks=(0,))
CTC_ONLY = LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=1.0)
TRANSDUCER_ONLY = LossConfig(ctc_loss_scale=0.0)


def model_of(losses):
    torch.manual_seed(0)
    return build_transducer(INNER, CODES, 11, AugmentConfig(), heads=Heads.trained_by(losses)).eval()


@pytest.mark.parametrize(
    "losses,expected",
    [
        (CTC_ONLY, {"ctc_output"}),
        (TRANSDUCER_ONLY, {"predictor", "joiner", "simple_am_proj", "simple_lm_proj"}),
        (LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=0.0, inner_ctc_loss_scale=1.0), {"inner_ctc_outputs"}),
        (
            LossConfig(transducer_loss_scale=0.0, ctc_loss_scale=0.3, attention_decoder_loss_scale=0.7),
            {"ctc_output", "attention_decoder"},
        ),
    ],
)
def test_a_head_without_a_loss_does_not_exist(losses, expected):
    model = model_of(losses)
    heads = {name.split(".")[0] for name in model.state_dict()} - {"input_embedding", "front_end", "encoder"}
    assert heads == expected


@pytest.mark.parametrize(
    "losses,method,message",
    [
        (TRANSDUCER_ONLY, "ctc_greedy_search", "ctc_greedy_search needs a model that was trained with a CTC loss"),
        (TRANSDUCER_ONLY, "ctc_prefix_beam_search", "was trained with a CTC loss; this one was not"),
        (CTC_ONLY, "greedy_search", "greedy_search needs a model that was trained with a transducer loss"),
        (CTC_ONLY, "modified_beam_search", "was trained with a transducer loss; this one was not"),
    ],
)
def test_a_search_over_an_absent_head_is_refused(losses, method, message):
    model = model_of(losses)
    with pytest.raises(ValueError, match=message):
        search(method, model, torch.randn(1, 5, INNER.encoder.out_dim), torch.tensor([5]), DecodeConfig())


def test_weights_of_heads_that_nothing_trained_are_left_out():
    whole = build_transducer(INNER, CODES, 11, AugmentConfig())
    model = model_of(TRANSDUCER_ONLY)
    model.load_trained(whole.state_dict(), "one.pt")
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"^two\.pt does not fit the model: 'ctc_output.* is missing"):
        whole.load_trained(model.state_dict(), "two.pt")


def test_training_of_ctc_alone_reports_dev_figures_of_ctc(corpus_dir, tmp_path):
    settings = {"loss__transducer_loss_scale": 0.0, "loss__ctc_loss_scale": 1.0, "loss__inner_ctc_loss_scale": 0.0}
    trainer, data = make_trainer(
        corpus_dir, tmp_path, train__num_epochs=1, train__decode_interval=1, train__decode_utterances=3, **settings
    )
    (record,) = trainer.fit(data)["epochs"]
    assert record["dev_wer"] > 0 and set(record["train"]) == {"loss", "ctc"}
    assert trainer.model.joiner is None


def test_weights_that_are_not_finite_are_named():
    model = model_of(TRANSDUCER_ONLY)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["joiner.output_linear.bias"][2] = float("nan")
    with pytest.raises(ValueError, match=r"^one\.pt: 1 of 11 numbers of 'joiner\.output_linear\.bias' are NaN"):
        require_finite(state, "one.pt")
    state["joiner.output_linear.bias"] = torch.zeros(11, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"^two\.pt: 'joiner\.output_linear\.bias' holds complex numbers"):
        require_finite(state, "two.pt")
