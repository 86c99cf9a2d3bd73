"""Continuous BERT: its loss written out, negatives, padding, exact resume, something learnt, a recogniser after it."""

import math

import pytest
import torch

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.systems.continuous_bert.network import build_continuous_bert
from icefall_discrete.systems.continuous_bert.settings import TrainSettings
from icefall_discrete.systems.continuous_bert.system import ContinuousBertSystem
from icefall_discrete.systems.negatives import draw

SPEC = FeatureSpec("toy_fbank", "continuous", 16000, 100.0, 0, (), 6)
STILL = {"dropout": [0.0], "attention_dropout": 0.0, "positional_dropout": 0.0}
ENCODER = {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 32, **STILL}
PLAIN = {"front_end": "identity", "embedding_dim": 16, "encoder": ENCODER}
STRIDED = {**PLAIN, "front_end": {"kind": "conv1d", "stride": 2}}
CPU = torch.device("cpu")


def toy(model=PLAIN, **loss):
    torch.manual_seed(0)
    sections = {"model": model, "loss": {"num_negatives": 4, **loss}, "mask": {"start_prob": 0.1, "length": 4}}
    settings = from_dict(TrainSettings, sections, "test")
    network = build_continuous_bert(settings.model, SPEC)
    torch.nn.init.normal_(network.mask_vector)
    network.input_embedding.set_statistics(torch.full((6,), 2.0), torch.full((6,), 3.0))
    return ContinuousBertSystem(network, settings, SPEC)


def batch(lens, seed=0):
    drawn = torch.randn(len(lens), max(lens), 6, generator=torch.Generator().manual_seed(seed)) * 3 + 2
    for row, length in enumerate(lens):
        drawn[row, length:] = 0.0
    names = [f"utterance-{length}" for length in lens]
    return {"features": drawn, "frame_lens": torch.tensor(lens), "cut_ids": names}


@pytest.mark.parametrize("model", [PLAIN, STRIDED], ids=["each frame", "two frames each"])
@pytest.mark.parametrize("clamp", [20.0, 0.0])
def test_the_loss_is_the_formula(model, clamp):
    system = toy({**model, "logit_clamp": clamp}).eval()
    network = system.network
    prepared = system.prepare(batch([40]), CPU)
    drawn = draw([40], ["a"], system.mask, 4, [3])
    normal = (prepared.frames[0] - 2.0) / 3.0
    hidden = drawn.hidden[0].nonzero()[:, 0].tolist()
    with torch.no_grad():
        x = network.input_embedding.projection(normal)
        x[hidden] = network.mask_vector
        states = network.encode_vectors(x[None], prepared.lens).encoder_out[0]
        nats, right = 0.0, 0
        for place, frame in enumerate(hidden):
            said = network.head(states[frame // network.config.frames_each])
            said = said.view(network.config.frames_each, 6)[frame % network.config.frames_each]
            scores = [float(said @ normal[other]) for other in (frame, *(hidden[j] for j in drawn.negatives[place]))]
            scores = [clamp * math.tanh(score / clamp) if clamp else score for score in scores]
            nats += math.log(sum(math.exp(score) for score in scores)) - scores[0]
            right += scores[0] > max(scores[1:])
        found = network.contrast(prepared.frames, prepared.lens, drawn)
    assert float(found.nats) == pytest.approx(nats, rel=1e-4)
    assert int(found.hidden) == len(hidden) > 3 and int(found.correct) == right


def test_a_negative_is_never_what_is_looked_for():
    system = toy(num_negatives=50).eval()
    prepared = batch([30])
    prepared["features"][0, 10:20] = 5.0  # equal frames: none of them is another's negative
    drawn = draw([30], ["a"], system.mask, 50, [1])
    drawn.hidden[:] = False
    drawn.hidden[0, 8:22] = True
    count = 14
    negatives = torch.arange(count).repeat(count, 1)
    off = negatives[negatives != torch.arange(count)[:, None]].view(count, count - 1)
    targets = system.network.input_embedding.normalized(prepared["features"])[0, 8:22]
    scores = system.network.logits(torch.randn(count, 6), targets, off)
    equal = torch.zeros(count, dtype=torch.bool)
    equal[2:12] = True
    assert (scores[equal][:, 1:].isinf().sum(dim=1) == 9).all() and not scores[~equal].isinf().any()
    drawn = draw([200, 57], ["a", "b"], system.mask, 50, [3, 4])
    own = torch.arange(len(drawn.negatives))
    assert not (drawn.negatives == own[:, None]).any()
    of_second = int(drawn.hidden[0].sum())
    assert int(drawn.negatives[:of_second].max()) < of_second <= int(drawn.negatives[of_second:].min())


@pytest.mark.parametrize("model", [PLAIN, STRIDED], ids=["each frame", "two frames each"])
def test_padding_changes_no_loss_and_a_batch_is_its_utterances(model):
    system, lens = toy(model).eval(), [41, 60, 23]
    whole = batch(lens)
    with torch.no_grad():
        together = system(system.prepare(whole, CPU), 0)
        alone = []
        for row, length in enumerate(lens):
            one = {"features": whole["features"][row : row + 1, :length], "frame_lens": torch.tensor([length])}
            alone.append(system(system.prepare({**one, "cut_ids": whole["cut_ids"][row : row + 1]}, CPU), 0))
    assert int(together.frames) == sum(int(one.frames) for one in alone) > 0
    assert float(together.total) == pytest.approx(sum(float(one.total) for one in alone), rel=1e-5)
    assert float(together.parts["contrast_acc"]) == sum(float(one.parts["contrast_acc"]) for one in alone)


def test_hidden_frames_are_learnt_from_those_around_them():
    system = toy().train()
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    slope = torch.linspace(-6, 6, 48)[:, None] * torch.tensor([1.0, -0.5, 0.3, 0.0, 0.7, -1.0])
    batches = {
        "features": (slope + 2.0).expand(4, -1, -1),
        "frame_lens": torch.tensor([48] * 4),
        "cut_ids": list("abcd"),
    }
    losses = []
    for step in range(60):
        found = system(system.prepare(batches, CPU), step)
        optimizer.zero_grad()
        found.objective().backward()
        optimizer.step()
        losses.append(float(found.total.detach() / found.frames))
    assert losses[0] > 1.4 and sum(losses[-8:]) / 8 < 0.8 * sum(losses[:3]) / 3, losses


def test_what_it_cannot_learn_from_is_refused_in_a_sentence():
    system = toy()
    with pytest.raises(ValueError, match="cut utterance-3: 3 frames, of which fewer than 2 can be hidden"):
        system(system.prepare(batch([3]), CPU), 0)
    config = system.network.config
    codes = FeatureSpec("codes", "codes", 16000, 50.0, 1, (10,), 0)
    with pytest.raises(ValueError, match="'codes' are codes, and Continuous BERT reads features"):
        build_continuous_bert(config, codes)
    other = from_dict(type(config), {**PLAIN, "input_frame_rate_hz": 50.0}, "test")
    with pytest.raises(ValueError, match="input_frame_rate_hz is 50, but Continuous BERT tells of each frame"):
        build_continuous_bert(other, SPEC)
    samples = from_dict(type(config), {"front_end": "waveform", "encoder": "wav2vec2", "embedding_dim": 0}, "test")
    with pytest.raises(ValueError, match="reads features, not samples"):
        build_continuous_bert(samples, SPEC)


def test_the_recipes_are_read(monkeypatch):
    for name in ("xavier_uniform_", "kaiming_uniform_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda weight, *rest, **named: weight)  # large ones take seconds
    path = CONF_DIR / "recipes" / "continuous_bert_base.json"
    settings = TrainSettings.from_dict(read_recipe(path), str(path))
    network = build_continuous_bert(settings.model, FeatureSpec("fb", "continuous", 16000, 100.0, 0, (), 80))
    assert sum(value.numel() for value in network.encoder.parameters()) / 1e6 == pytest.approx(89.8, abs=0.05)
    assert settings.mask.length_deviation == 10.0 and network.config.frames_each == 1
