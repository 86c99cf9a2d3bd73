"""Adapters, LoRA and parts that are kept: what begins as it was, what learns, and what is the same once merged."""

import copy

import pytest
import torch
from torch.nn.utils import parametrize
from toy_settings import changed, model_config

from icefall_discrete.base.hub_names import names_no_place
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.experiment.initial_weights import begin_with, keep_parts
from icefall_discrete.nn.adaptation import (
    AdaptationConfig,
    LowRankChange,
    adapt,
    changes_of,
    is_of_change,
    merge_changes,
    merged_weights,
    names_of_changes,
)
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.optimizers.scaled_adam import ScaledAdamConfig
from icefall_discrete.training.scaled_adam import ScaledAdam
from icefall_discrete.training.train_config import TrainConfig

CODES = FeatureSpec("toy", "codes", 16000, 50.0, 1, (10,), 0)
OTHER_CODES = FeatureSpec("other", "codes", 16000, 50.0, 1, (12,), 0)
SHAPE = {"downsampling_factor": (1,), "encoder_dim": (16,), "num_encoder_layers": (1,), "encoder_unmasked_dim": (16,)}
ZIPFORMER = {**SHAPE, "num_heads": (2,), "feedforward_dim": (16,), "cnn_module_kernel": (5,)}
CONFIGS = {
    "zipformer": model_config(**ZIPFORMER, front_end="conv1d"),
    "conformer": model_config(
        encoder={"kind": "conformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 16},
        front_end="conv1d",
    ),
}
CODE_ROWS, CODE_LENS = torch.arange(60).view(2, 30, 1) % 10, torch.tensor([30, 21])
EVERYTHING = {"adapter_dim": 4, "lora_r": 2}


def network(config, spec=CODES, vocab_size=11):
    torch.manual_seed(1)
    return build_transducer(config, spec, vocab_size, AugmentConfig())


@pytest.fixture
def base(tmp_path):
    def make(config):
        source = network(config)
        torch.save({"model": source.state_dict()}, tmp_path / "base.pt")
        return source, str(tmp_path / "base.pt")

    return make


def encoded(model):
    with torch.no_grad():
        return copy.deepcopy(model).eval().encode(CODE_ROWS, CODE_LENS).encoder_out


def learn(model, num_steps=3):
    optimizer = ScaledAdam([(name, one) for name, one in model.named_parameters() if one.requires_grad], lr=0.05)
    for _ in range(num_steps):
        model.encode(CODE_ROWS, CODE_LENS).encoder_out[..., 0].sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_adapted_encoder_begins_as_it_was_and_only_what_adapts_it_learns(base, kind):
    source, path = base(CONFIGS[kind])
    model = network(changed(CONFIGS[kind], **EVERYTHING))
    begun = begin_with(model, InitialConfig(path), CODES, None)
    assert torch.equal(encoded(model), encoded(source)) and "anew" not in begun.said
    (said,) = keep_parts(model.train(), InitialConfig(path), begun.taken)
    assert "weights learn (" in said
    learn(model)
    assert not torch.equal(encoded(model), encoded(source))
    before, after = source.state_dict(), model.state_dict()
    kept = [name for name in after if name in before]
    assert all(torch.equal(after[name], before[name]) for name in kept)
    assert len(changes_of(model)) > 8


def test_where_changes_lie_in_a_zipformer_layer_is_where_icefall_has_them(base):
    model = network(changed(CONFIGS["zipformer"], **EVERYTHING))
    changing = {name.rpartition(".")[0] for name, value in model.named_parameters() if "adapter" in name}
    assert {name.split(".layers.0.")[1].split(".")[0] for name in changing} == {
        "adapter_attention",
        "adapter_middle",
        "adapter_convolution",
        "adapter_out",
    }
    low_rank = {name.split(".layers.0.")[1] for name, _ in model.named_parameters() if name.endswith(".0.up")}
    expected = {"attention_weights.in_proj", "self_attention1.in_proj", "self_attention2.in_proj"}
    expected |= {f"feed_forward{place}.{side}_proj" for place in (1, 2, 3) for side in ("in", "out")}
    assert {name.partition(".parametrizations")[0] for name in low_rank} == expected


@pytest.mark.parametrize("kind", CONFIGS)
def test_merged_is_unmerged_bit_for_bit(base, kind):
    _, path = base(CONFIGS[kind])
    dropout = 0.1 if kind == "conformer" else 0.0  # the Zipformer's layers with an activation have none
    model = network(changed(CONFIGS[kind], lora_r=2, lora_alpha=3.0, lora_dropout=dropout))
    keep_parts(model, InitialConfig(path), begin_with(model, InitialConfig(path), CODES, None).taken)
    learn(model)
    state, expected = model.state_dict(), encoded(model)
    plain = network(CONFIGS[kind])
    plain.load_state_dict(merged_weights(state))
    assert torch.equal(encoded(plain), expected)
    merge_changes(model)
    assert torch.equal(encoded(model), expected) and set(model.state_dict()) == set(plain.state_dict())


# What peft 0.21.2 gives for the weights below with this mask: LoRA of rank 2, alpha 3, dropout 0.25.
PEFT_MASK = [[4 / 3, 0.0, 0.0, 4 / 3], [0.0, 4 / 3, 0.0, 0.0]]
PEFT_TRAINED = [[3.0625, 1.3125, 2.8125], [0.6875, -5.1875, 2.4375]]
PEFT_ASKED = [[-2.5, 16.5625, -4.75], [-0.625, -16.375, 5.828125]]
PEFT_GRADIENTS = {
    "down": [[15.4375, -15.40625, 0.0, 7.71875], [11.0, 22.5, 0.0, 5.5]],  # of the sum of squares
    "up": [[21.125, 13.9375], [-12.875, 16.9375], [26.625, 9.1875]],
}


class Times(torch.nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, x):
        return x * self.mask


def adapted_layer(**adaptation):
    """A layer of given weights within a network, and its change."""
    network = torch.nn.Sequential(torch.nn.Linear(4, 3))
    with torch.no_grad():
        network[0].weight.copy_(torch.arange(12.0).view(3, 4) / 8 - 0.75)
        network[0].bias.copy_(torch.tensor([0.5, -0.25, 1.0]))
        adapt(network, AdaptationConfig(lora_r=2, lora_alpha=3.0, lora_layers=("0",), **adaptation))
        (change,) = changes_of(network)
        change.down.copy_(torch.tensor([[1.0, -2.0, 0.5, 1.0], [0.25, 1.0, -1.0, 2.0]]))
        change.up.copy_(torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.75, -0.5]]))
    return network, change


def test_dropout_is_of_what_the_change_is_given_as_in_peft():
    network, change = adapted_layer(lora_dropout=0.25)
    x = torch.tensor([[1.0, 2.0, -1.0, 0.5], [3.0, -0.5, 0.25, -2.0]])
    assert change.dropout.p == 0.25
    change.dropout = Times(torch.tensor(PEFT_MASK))
    found = network.train()(x)
    found.square().sum().backward()
    assert torch.allclose(found, torch.tensor(PEFT_TRAINED), atol=1e-5)
    for name, expected in PEFT_GRADIENTS.items():
        assert torch.allclose(getattr(change, name).grad, torch.tensor(expected), atol=1e-4), name
    asked = network.eval()(x)
    assert torch.allclose(asked, torch.tensor(PEFT_ASKED), atol=1e-5)
    assert torch.equal(asked, adapted_layer()[0](x))
    again = copy.deepcopy(network).train()
    assert torch.equal(again(x), found)
    merge_changes(again)
    assert torch.equal(again(x), asked) and set(again.state_dict()) == {"0.weight", "0.bias"}
    assert not again[0]._forward_hooks, "nothing is left for an export to trip over"


def test_dropout_draws_for_each_number_and_layer():
    network, _ = adapted_layer(lora_dropout=0.5)
    torch.manual_seed(0)
    x = torch.ones(4000, 4)
    found = network.train()(x)
    assert len(found.unique(dim=0)) == 16, "four numbers, each there or not"
    assert torch.allclose(found.mean(dim=0), network.eval()(x)[0], atol=0.3)


def test_what_was_changed_may_be_begun_with_again(base, tmp_path):
    _, path = base(CONFIGS["zipformer"])
    model = network(changed(CONFIGS["zipformer"], lora_r=2))
    keep_parts(model, InitialConfig(path), begin_with(model, InitialConfig(path), CODES, None).taken)
    learn(model)
    torch.save({"model": model.state_dict()}, tmp_path / "changed.pt")
    again = network(changed(CONFIGS["zipformer"], lora_r=3))
    begin_with(again, InitialConfig(str(tmp_path / "changed.pt")), CODES, None)
    assert torch.equal(encoded(again), encoded(model))


def test_other_features_and_pieces_leave_what_fits_and_say_so(base):
    source, path = base(CONFIGS["zipformer"])
    model = network(CONFIGS["zipformer"], OTHER_CODES, vocab_size=9)
    begun = begin_with(model, InitialConfig(path, ("fitting",)), OTHER_CODES, None)
    assert begun.taken == ("front_end", "encoder")
    assert "anew: input_embedding (its input_embedding.table is (11, 80), here (13, 80)), predictor (" in begun.said
    state = source.encoder.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.encoder.state_dict().items())
    without_ctc = {name: value for name, value in source.state_dict().items() if "ctc" not in name}
    torch.save({"model": {**without_ctc, "attention_decoder.norm.weight": torch.zeros(2)}}, path)
    begun = begin_with(network(CONFIGS["zipformer"]), InitialConfig(path, ("fitting",)), CODES, None)
    assert "anew: ctc_output (it has no " in begun.said and begun.said.endswith("; left there: attention_decoder.")


def test_parts_that_are_kept_do_not_learn_and_stand_still(base):
    source, path = base(CONFIGS["conformer"])
    model = network(CONFIGS["conformer"]).train()
    config = InitialConfig(path, (), ("front_end", "encoder"))
    keep_parts(model, config, begin_with(model, config, CODES, None).taken)
    assert not model.encoder.layers[0].training and model.training and model.augment.training
    learn(model)
    changed_parts = {
        name.partition(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, source.state_dict()[name])
    }
    assert changed_parts == {"input_embedding"}


def test_what_cannot_be_adapted_is_refused_in_a_sentence(base):
    bilstm = model_config(encoder={"kind": "bilstm", "in_dim": 8, "hidden_dim": 8, "num_layers": 1}, front_end="conv1d")
    with pytest.raises(ValueError, match=r"the encoder Bilstm.* has no places for adapters; set it to 0"):
        network(changed(bilstm, adapter_dim=4))
    with pytest.raises(ValueError, match=r"no linear layer of the encoder is named \*\.query; such are "):
        network(changed(CONFIGS["conformer"], lora_r=2, lora_layers=("*.query",)))
    with pytest.raises(
        ValueError, match=r"layers\.0\.feed_forward1\.out_proj of the encoder is more than a linear lay"
    ):
        network(changed(CONFIGS["zipformer"], lora_r=2, lora_dropout=0.1))
    with pytest.raises(ValueError, match="frozen_modules would keep random weights"):
        InitialConfig("", (), ("encoder",))
    with pytest.raises(ValueError, match="which is all that fits, and others; leave one out"):
        InitialConfig("a", ("fitting", "encoder"))
    model = network(CONFIGS["zipformer"])
    with pytest.raises(ValueError, match="predicter cannot be kept: the network has the parts input_embedding, "):
        model.keep(["predicter"])


def test_a_name_of_a_hub_is_none_of_a_folder_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp").mkdir()
    assert names_no_place("org/model") and not names_no_place("exp/model") and not names_no_place("../exp/model")


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_begins_at_zero_is_known_by_its_name(kind):
    model = network(changed(CONFIGS[kind], **EVERYTHING))
    expected = {name for name, _ in model.named_parameters() if name in names_of_changes(model)}
    assert expected and {name for name, _ in model.named_parameters() if is_of_change(name)} == expected


@pytest.mark.parametrize("least, learns", [(ScaledAdamConfig.change_min_rms, True), (1e-5, False)])
def test_a_change_of_low_rank_learns_from_its_first_steps(least, learns):
    """ScaledAdam's steps are as large as the weights, which are zero; its own least size is far too small for them."""
    torch.manual_seed(0)
    layer, asked = torch.nn.Linear(16, 16), torch.randn(16, 2) @ torch.randn(2, 16) / 8
    goal = layer.weight.detach() + asked
    layer.requires_grad_(False)
    parametrize.register_parametrization(layer, "weight", LowRankChange(layer, AdaptationConfig(lora_r=4)))
    encoder = torch.nn.Sequential(layer)
    learning = [(name, value) for name, value in encoder.named_parameters() if value.requires_grad]
    optimizer, _ = ScaledAdamConfig(change_min_rms=least).build(learning, TrainConfig(base_lr=0.045))
    losses = []
    for _ in range(200):
        loss = (layer.weight - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert (losses[-1] < 0.2 * losses[0]) == learns


def test_changes_of_low_rank_and_the_rest_go_on_as_if_never_interrupted():
    torch.manual_seed(0)
    layer, goal = torch.nn.Linear(8, 8), torch.randn(8, 8)
    parametrize.register_parametrization(layer, "weight", LowRankChange(layer, AdaptationConfig(lora_r=2)))

    def optimizer_of(encoder):
        return ScaledAdamConfig().build(list(encoder.named_parameters()), TrainConfig())[0]

    def steps(encoder, optimizer, number):
        for _ in range(number):
            optimizer.zero_grad()
            (encoder[0].weight - goal).square().mean().backward()
            optimizer.step()

    whole = torch.nn.Sequential(layer)
    optimizer = optimizer_of(whole)
    steps(whole, optimizer, 7)
    resumed = copy.deepcopy(whole)
    other = optimizer_of(resumed)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert len(other.param_groups) == 2
    steps(whole, optimizer, 6)
    steps(resumed, other, 6)
    assert all(torch.equal(one, two) for one, two in zip(whole.parameters(), resumed.parameters()))
