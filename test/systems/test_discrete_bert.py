"""Discrete BERT: what is hidden, what is learnt of it, exact resume, and a recogniser that begins with it."""

import json
import math

import pytest
import torch
from lhotse import CutSet
from synthetic_codes import SPEC, TINY_RECIPE, Killed, killed_after, make_trainer, write_corpus
from toy_corpus import run_stage_script

from icefall_discrete import CONF_DIR
from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.nn.acoustic_encoder import AcousticEncoderConfig
from icefall_discrete.systems.discrete_bert.masks import MaskConfig, what_is_shown
from icefall_discrete.systems.discrete_bert.network import build_discrete_bert
from icefall_discrete.systems.discrete_bert.settings import TrainSettings
from icefall_discrete.systems.discrete_bert.system import DiscreteBertSystem
from icefall_discrete.systems.hidden_spans import hidden_frames

OF_HEADS = ("decoder_dim", "joiner_dim", "inner_ctc_stacks")
ENCODER = {name: value for name, value in TINY_RECIPE["model"].items() if name not in OF_HEADS}
TRANSFORMER = {
    "front_end": "identity",
    "embedding_dim": 16,
    "encoder": {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 32},
}
PLAIN = MaskConfig(kept_share=0.0, random_share=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def expected_share(num_frames, config, frame):
    """How probable it is that a frame is hidden, where spans are not too few or many: drawing without replacement."""
    begins = min(frame + 1, config.length)  # places where a span would hide it
    mean = config.start_prob * num_frames
    least, chance = int(mean), mean - int(mean)

    def missed(count):
        return math.comb(num_frames - begins, count) / math.comb(num_frames, count)

    return 1.0 - (1.0 - chance) * missed(least) - chance * missed(least + 1)


@pytest.mark.parametrize("num_frames", [60, 95, 200])
def test_as_many_frames_are_hidden_as_published(num_frames):
    drawn, source = 1500, generator(num_frames)
    hidden = torch.stack([hidden_frames(num_frames, PLAIN, source) for _ in range(drawn)]).float().mean(dim=0)
    expected = torch.tensor([expected_share(num_frames, PLAIN, frame) for frame in range(num_frames)])
    assert float((hidden - expected).abs().max()) < 5 * 0.5 / drawn**0.5
    assert float(hidden[-1]) == pytest.approx(float(expected[-1]), abs=0.06), "the last frame is hidden as others are"
    assert float(hidden.mean()) == pytest.approx(float(expected.mean()), abs=0.02)


def test_short_utterances_have_something_hidden_and_something_seen():
    for num_frames in range(1, 4):
        assert not hidden_frames(num_frames, PLAIN, generator()).any()
    for num_frames in range(4, 30):
        for seed in range(8):
            hidden = hidden_frames(num_frames, MaskConfig(length_deviation=10.0), generator(seed))
            assert 2 <= int(hidden.sum()) <= num_frames - 2


def test_a_tenth_of_the_hidden_keep_their_codes_and_a_tenth_have_others():
    codes, hidden = torch.full((20000, 2), 7), torch.arange(20000) % 2 == 0
    shown, masked = what_is_shown(codes, hidden, torch.tensor([1000, 500]), MaskConfig(), generator())
    assert torch.equal(shown[~hidden], codes[~hidden]) and not masked[~hidden].any()
    changed = (shown != codes).any(dim=1)
    assert float(masked[hidden].float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float(changed[hidden].float().mean()) == pytest.approx(0.1, abs=0.01) and not (changed & masked).any()
    assert int(shown[:, 0].max()) > 900 and int(shown[:, 1].max()) < 500 and int(shown.min()) >= 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("bert") / "corpus", num_train=12, num_dev=4)
    sections = {name: TINY_RECIPE[name] for name in ("loader", "train")}
    recipe = {"system": "discrete_bert", "model_size": "tiny", **sections, "model": ENCODER}
    (folder / "ssl").mkdir()
    (folder / "ssl" / "recipe.json").write_text(json.dumps(recipe))
    return folder


def small(model, spec=SPEC):
    torch.manual_seed(0)
    network = build_discrete_bert(from_dict(AcousticEncoderConfig, model, "test"), spec)
    torch.nn.init.normal_(network.mask_vector)
    return DiscreteBertSystem(network, MaskConfig(start_prob=0.1, length=4), spec)


@pytest.mark.parametrize("model", [ENCODER, TRANSFORMER], ids=["zipformer", "transformer"])
def test_padding_changes_no_loss_and_a_batch_is_its_utterances(folder, model):
    system = small(model).eval()
    cuts = sorted(load_feature_cuts(folder / "features" / "dev.jsonl.gz")[0], key=lambda cut: -cut.duration)
    with torch.no_grad():
        together = system(system.prepare(collate(CutSet.from_cuts(cuts), SPEC), torch.device("cpu")), 0)
        alone = [system(system.prepare(collate(CutSet.from_cuts([cut]), SPEC), torch.device("cpu")), 0) for cut in cuts]
    assert int(together.frames) == sum(int(one.frames) for one in alone) > 0
    assert float(together.total) == pytest.approx(sum(float(one.total) for one in alone), rel=1e-5)
    assert float(together.parts["masked_acc"]) == sum(float(one.parts["masked_acc"]) for one in alone)


def test_hidden_codes_of_two_streams_are_learnt():
    spec = FeatureSpec("pairs", "codes", 16000, 50.0, 2, (6, 4), 0)
    still = {"dropout": [0.0], "attention_dropout": 0.0, "positional_dropout": 0.0}
    system = small({**TRANSFORMER, "encoder": {**TRANSFORMER["encoder"], **still}}, spec)
    rows = torch.arange(6)  # each utterance has a code of its own, which any frame that is seen tells
    codes = torch.stack([rows, rows % 4], dim=1).unsqueeze(1).repeat(1, 24, 1)
    batch = {"codes": codes, "frame_lens": torch.tensor([24] * 6), "cut_ids": list("abcdef")}
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    losses = []
    for step in range(40):
        found = system(system.prepare(batch, torch.device("cpu")), step)
        optimizer.zero_grad()
        found.objective().backward()
        optimizer.step()
        losses.append(float(found.total.detach() / found.frames))
    assert losses[0] > 1.0 and sum(losses[-5:]) / 5 < 0.3, losses[-5:]


def test_too_few_frames_to_hide_are_refused_in_a_sentence():
    system = small(TRANSFORMER)
    batch = {"codes": torch.zeros(1, 3, 1, dtype=torch.int64), "frame_lens": torch.tensor([3]), "cut_ids": ["short"]}
    with pytest.raises(ValueError, match="cut short: 3 frames, of which fewer than 2 can be hidden while as many"):
        system(system.prepare(batch, torch.device("cpu")), 0)
    with pytest.raises(ValueError, match=r"'fb' are continuous features, and Discrete BERT finds codes"):
        small(TRANSFORMER, FeatureSpec("fb", "continuous", 16000, 100.0, 0, (), 8))
    with pytest.raises(ValueError, match="input_frame_rate_hz is 100, but Discrete BERT tells of each frame"):
        small({**TRANSFORMER, "input_frame_rate_hz": 100.0})


def train_to_the_end(folder, exp_dir, num_batches=None):
    trainer, data = make_trainer(folder, exp_dir, train__save_every_n=1, train__keep_last_k=9, train__device="cpu")
    if num_batches is None:
        trainer.fit(data)
        return trainer.model.state_dict()
    with pytest.raises(Killed):
        trainer.fit(killed_after(data, num_batches))
    return None


def test_a_killed_training_goes_on_as_if_it_had_not_been(folder, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("features", "lang"):
        (corpus / name).symlink_to(folder / name)
    (corpus / "recipe.json").write_text((folder / "ssl" / "recipe.json").read_text())
    whole = train_to_the_end(corpus, tmp_path / "whole")
    train_to_the_end(corpus, tmp_path / "killed", num_batches=2)
    resumed = train_to_the_end(corpus, tmp_path / "killed")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_stages_train_it_measure_it_and_a_recogniser_begins_with_it(folder):
    of_data = ("--feature-dir", folder / "features", "--device", "cpu")
    of_training = (*of_data, "--conf-dir", folder, "--backend", "torch", "--try-largest-batches", "false")
    exp_dir = folder / "bert"
    recipe = ("--recipe-config", folder / "ssl" / "recipe.json")
    run_stage_script("train.py", *recipe, *of_training, "--exp-dir", exp_dir, "--num-epochs", 1)
    run_stage_script("decode.py", *of_data, "--exp-dir", exp_dir, "--splits", "dev", "--avg", 1)
    run_stage_script("score.py", "--exp-dir", exp_dir)
    scored = json.loads((exp_dir / "result.json").read_text())["sets"]["dev"]
    assert 50 < scored["masked_errors"]["rate"] <= 100 and 5 < scored["code_perplexity"]["value"] < 40

    recogniser = ("--recipe-config", folder / "recipe.json", "--lang-dir", folder / "lang", "--num-epochs", 1)
    begun = ("--init-from", exp_dir, "--init-modules", "input_embedding,front_end,encoder", "--frozen-steps", 1000)
    said = run_stage_script("train.py", *recogniser, *of_training, *begun, "--exp-dir", folder / "asr").stderr
    assert f"Begins with input_embedding, front_end, encoder of {exp_dir}/epoch-1.pt" in said
    before, after = (load_checkpoint(folder / name / "epoch-1.pt")["model"] for name in ("bert", "asr"))
    parts = ("input_embedding.", "front_end.", "encoder.")
    shared = [name for name in before if name.startswith(parts)]
    assert len(shared) > 20 and all(torch.equal(before[name], after[name]) for name in shared), "it was to be frozen"


@pytest.mark.parametrize("size, millions", [("base", 85.1), ("small", 37.8)])
def test_the_published_shapes_build(monkeypatch, size, millions):
    """The encoder alone, as published; embeddings and scores depend on the codes."""
    for name in ("xavier_uniform_", "kaiming_uniform_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda weight, *rest, **named: weight)  # large ones take seconds
    path = CONF_DIR / "recipes" / f"discrete_bert_{size}.json"
    settings = TrainSettings.from_dict(read_recipe(path), str(path))
    network = build_discrete_bert(settings.model, FeatureSpec("vq", "codes", 16000, 100.0, 2, (320, 320), 0))
    parameters = sum(value.numel() for value in network.encoder.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.05)
    assert settings.train.optimizer.schedule == "linear" and network.config.frames_each == 1
