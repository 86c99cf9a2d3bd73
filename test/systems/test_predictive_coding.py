"""Predictive coding: equal to fairseq's and CPC_audio's, negatives, padding, exact resume, the published shapes."""

import dataclasses
import functools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from frozen_encoder import learns
from lhotse import CutSet
from safetensors.torch import load_file
from stand_in import ROOT
from synthetic_codes import goes_on_exactly
from toy_samples import CPU, SPEC, changed, samples, write_samples

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.systems.predictive_coding.network import build_predictive_coding
from icefall_discrete.systems.predictive_coding.predictors import LinearConfig, TransformerConfig
from icefall_discrete.systems.predictive_coding.settings import TrainSettings
from icefall_discrete.systems.predictive_coding.system import PredictiveCodingSystem, negatives_of

CONVOLUTIONS = {"kernels": [10, 8, 4, 4, 4], "strides": [5, 4, 2, 2, 2]}
WAV2VEC = {
    "embedding_dim": 0,
    "front_end": {"kind": "wav2vec", "channels": 8, "kernels": [10, 8, 4, 4, 4, 1], "strides": [5, 4, 2, 2, 2, 1]},
    "encoder": {"kind": "wav2vec", "dim": 8, "context_kernels": [2, 3, 4]},
    "steps": 3,
}
INFONCE = changed({**WAV2VEC, "objective": "softmax"}, encoder={"zero_padding": True})
SMOOTH = changed(WAV2VEC, front_end={"activation": "gelu"}, encoder={"context_activation": "gelu"})
_BOOKS = {"group_codes": 6, "out_dim": 8, "shared": True}
GUMBEL = changed(
    SMOOTH,
    front_end={
        "log_compression": False,
        "quantizer": {
            "kind": "gumbel",
            "score_layer_dim": 16,
            "loss_weight": 3.6,
            "temperature": [1.5, 0.5, 0.9],
            **_BOOKS,
        },
    },
)
KMEANS = changed(
    SMOOTH, front_end={"quantizer": {"kind": "kmeans", "own_channels": True, "norm_over": "utterance", **_BOOKS}}
)
CPC = {
    "embedding_dim": 0,
    "front_end": {
        "kind": "wav2vec",
        "channels": 8,
        **CONVOLUTIONS,
        "paddings": [3, 2, 1, 1, 1],
        "norm": "frame",
        "conv_bias": True,
        "log_compression": False,
    },
    "encoder": {
        "kind": "bilstm",
        "in_dim": 8,
        "hidden_dim": 6,
        "num_layers": 2,
        "bidirectional": False,
        "layer_dropout": 0.0,
    },
    "steps": 3,
    "first_step": 1,
    "same_contexts": True,
    "objective": "softmax",
    "score": "mean",
    "step_bias": False,
}
LAYERS = {"kind": "transformer", "num_heads": 2, "feedforward_dim": 10, "dropout": 0.0, "context": 22}
CPC_LAYERS = {**changed(CPC, encoder={"hidden_dim": 8, "num_layers": 1}), "predictor": LAYERS}
MODELS = {
    "wav2vec": WAV2VEC,
    "infonce": INFONCE,
    "gumbel": GUMBEL,
    "kmeans": KMEANS,
    "cpc": CPC,
    "cpc_transformer": CPC_LAYERS,
}
each_model = pytest.mark.parametrize("name", MODELS)


def toy(model, num_negatives=5):
    torch.manual_seed(0)
    settings = from_dict(TrainSettings, {"model": model, "loss": {"num_negatives": num_negatives}}, "test")
    return PredictiveCodingSystem(build_predictive_coding(settings.model, SPEC), settings, SPEC)


@functools.cache
def golden():
    return load_file(ROOT / "test" / "assets" / "predictive_coding.safetensors")


# From the names of fairseq and CPC_audio to ours, a number standing for each layer's.
NAMES = {
    "feature_extractor.conv_layers.#.0": "front_end.convolutions.#",
    "feature_extractor.conv_layers.#.2": "front_end.norms.#",
    "feature_aggregator.conv_layers.#.1": "encoder.layers.#",
    "feature_aggregator.conv_layers.#.3": "encoder.norms.#",
    "vector_quantizer.weight_proj.0.0": "front_end.quantizer.hidden",
    "vector_quantizer.weight_proj.1": "front_end.quantizer.scores",
    "vector_quantizer.projection.0": "front_end.quantizer.project",
    "vector_quantizer.projection.1": "front_end.quantizer.norm",
    "gEncoder.conv#": "front_end.convolutions.#",
    "gEncoder.batchNorm#": "front_end.norms.#",
    "vector_quantizer": "front_end.quantizer",
    **{
        f"crit.wPrediction.predictors.#.0.{theirs}": f"predictor.layers.#.{own}"
        for theirs, own in {
            **{f"multihead.W{name[0]}": f"attention.{name}" for name in ("query", "key", "value", "out")},
            "multihead.Att": "attention",
            "ln_multihead": "attention_norm",
            "ffnetwork.lin1": "feed_forward.w_1",
            "ffnetwork.lin2": "feed_forward.w_2",
            "ln_ffnetwork": "feed_forward_norm",
        }.items()
    },
}
PARTS = {"vars": "vectors", "embedding": "vectors", "Krelpos": "distances"}


def ours(state):
    """Weights, or gradients, of theirs by our names."""
    found = {}
    matrices = [f"crit.wPrediction.predictors.{step}.weight" for step in range(8)]
    steps = [state[name] for name in matrices if name in state]
    if steps:
        found["predictor.weight"] = torch.cat(steps)
    for name, value in state.items():
        stem, _, part = name.rpartition(".")
        if stem == "wav2vec_predictions.project_to_steps":
            flat = value.permute(3, 1, 2, 0).flatten(0, 2) if part == "weight" else value
            found["predictor.weight" if part == "weight" else "step_bias"] = flat
        elif stem == "gAR.baseNet":
            found[f"encoder.layers.{part[-1]}.{part[:-1]}0"] = value
        elif name not in matrices:
            for theirs, own in NAMES.items():
                layers = [index for index in range(8) if theirs.replace("#", str(index)) == stem]
                if layers:
                    value = value.transpose(0, 1) if part == "embedding" else value
                    found[f"{own.replace('#', str(layers[0]))}.{PARTS.get(part, part)}"] = value
                    break
    return found


def part(name, what):
    start = f"{name}.{what}."
    return ours({key[len(start) :]: value for key, value in golden().items() if key.startswith(start)})


def best(scores, tau, hard, dim=-1):
    """Stands for the draw of a code, so that both networks take the same."""
    chosen = F.one_hot(scores.argmax(dim=-1), scores.shape[-1]).to(scores.dtype)
    soft = (scores / tau).softmax(dim=-1)
    return chosen - soft.detach() + soft


@each_model
def test_losses_and_gradients_are_those_of_fairseq_and_cpc_audio(name, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", best)
    system = toy(MODELS[name])
    state = system.network.state_dict()
    weights = {key: value.reshape(state[key].shape) for key, value in part(name, "weight").items()}
    assert set(state) - set(weights) == {"input_embedding.mean", "input_embedding.scale"}
    system.network.load_state_dict({**state, **weights})
    frames = golden()["samples"].view(2, 50, 80)
    found = system.network.contrast(frames, torch.tensor([50, 50]), golden()[f"{name}.negatives"], 0)
    count = found.hidden.sum()
    contrastive = found.nats.sum() / count
    quantizer = system.network.front_end.config.quantizer
    loss = contrastive
    if quantizer is not None:
        assert contrastive.item() == pytest.approx(float(golden()[f"{name}.contrastive"]), rel=1e-4)
        loss = loss + quantizer.loss_weight * found.quantizer_loss
    if name.startswith("cpc"):
        assert float(found.correct.sum() / count) == pytest.approx(float(golden()[f"{name}.accuracy"]), rel=1e-5)
    else:
        assert int(count) == int(golden()[f"{name}.count"])
    assert loss.item() == pytest.approx(float(golden()[f"{name}.loss"]), rel=1e-4)
    loss.backward()
    gradients = part(name, "grad")
    assert len(gradients) >= 3
    own = dict(system.network.named_parameters())
    for key, value in gradients.items():
        shaped = value.reshape(own[key].shape)
        torch.testing.assert_close(own[key].grad, shaped, rtol=1e-3, atol=1e-4 * float(shaped.abs().max()))


def test_negatives_are_other_frames_of_the_utterance_drawn_evenly():
    drawn = negatives_of([6, 40, 1], 4000, [1, 2, 3])
    assert int(drawn[0, :6].max()) == 5 and int(drawn[1].max()) == 39 and not drawn[0, 6:].any()
    counts = torch.stack([torch.bincount(row, minlength=6) for row in drawn[0, :6]])
    assert int(counts.diagonal().max()) == 0, "no frame is its own negative"
    assert float((counts[~torch.eye(6, dtype=torch.bool)] / 800.0 - 1.0).abs().max()) < 0.2
    assert torch.equal(negatives_of([40], 4000, [2])[0], drawn[1]), "drawn as its own seed says, whatever its company"


@each_model
def test_an_encoder_that_is_frozen_learns_nothing(name):
    system = toy(MODELS[name])
    assert learns(system, system.prepare(samples([100, 60]), CPU)) == [False, True]


@each_model
def test_padding_changes_no_loss_and_a_batch_is_its_utterances(name):
    system = toy(MODELS[name]).eval()
    lens = [100, 60, 35]
    with torch.no_grad():
        batch = samples(lens)
        together = system.contrast(system.prepare(batch, CPU), [1, 2, 3])
        plain = system.losses(system.prepare(batch, CPU), 0)
        batch["features"] = F.pad(batch["features"], (0, 0, 0, 90))
        padded = system.losses(system.prepare(batch, CPU), 0)
        alone = [system.contrast(system.prepare(samples([n]), CPU), [i + 1]) for i, n in enumerate(lens)]
    assert float(padded.total) == pytest.approx(float(plain.total), rel=1e-5)
    for field in ("nats", "hidden", "correct"):
        torch.testing.assert_close(
            getattr(together, field), torch.cat([getattr(one, field) for one in alone]), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", ["cpc", "cpc_transformer"])
def test_what_is_ahead_is_not_heard(name):
    """A prediction does not change with samples that only later frames hear (of wav2vec's context it does, as
    published: its normalisations are over the whole utterance)."""
    network = toy(MODELS[name]).eval().network
    frames = samples([80])["features"]
    other = frames.clone()
    other[:, 60:] = 0.0
    with torch.no_grad():
        said, after = (
            network.predicted(network.encode(one, torch.tensor([80])).encoder_out) for one in (frames, other)
        )
    torch.testing.assert_close(said[:, :28], after[:, :28], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(said[:, 30:], after[:, 30:])


def test_a_layer_that_predicts_looks_back_on_so_many_frames_and_the_distance_counts():
    torch.manual_seed(0)
    predictor = TransformerConfig(num_heads=2, feedforward_dim=10, dropout=0.0, context=4).build(8, 8, 2).eval()
    states = torch.randn(1, 12, 8)
    other = states.clone()
    other[:, 3] += 1.0
    with torch.no_grad():
        said, after = predictor(states), predictor(other)
        turned = predictor(states[:, [0, 2, 1, 3]])
    assert said.shape == (1, 12, 2, 8)
    changed_at = (said != after).flatten(2).any(dim=2)[0]
    assert changed_at.tolist() == [False] * 3 + [True] * 4 + [False] * 5
    assert not torch.allclose(said[:, 3], turned[:, 3], atol=1e-3), "of frames before, it matters which comes first"


@pytest.mark.parametrize("name", ["infonce", "kmeans", "cpc", "cpc_transformer"])
def test_frames_ahead_are_learnt_to_be_told(name):
    short = {**MODELS[name], "steps": 2, "first_step": 1, "objective": "softmax"}
    model = changed(short, front_end={"channels": 16})
    if name.startswith("cpc"):
        model = changed(model, encoder={"in_dim": 16, "hidden_dim": 16})
    else:
        model = changed(model, encoder={"dim": 16})
    if name == "kmeans":
        quantizer = {**model["front_end"]["quantizer"], "out_dim": 16, "group_codes": 16}
        model = changed(model, front_end={"quantizer": quantizer})
    system = toy(model)
    pitch = 0.02 * 1.5 ** torch.arange(8).repeat_interleave(10).unsqueeze(1)  # tones that go on for a while
    tone = torch.sin(torch.arange(80 * 80).view(-1, 80) * pitch)
    batch = {"features": tone.unsqueeze(0), "frame_lens": torch.tensor([80]), "cut_ids": ["tones"]}
    optimizer = torch.optim.Adam(system.parameters(), 0.004)
    told, losses = [], []
    for step in range(60):
        found = system(system.prepare(batch, CPU), step)
        optimizer.zero_grad()
        found.objective().backward()
        optimizer.step()
        told.append(float(found.parts["contrast_acc"] / found.frames))
        losses.append(float(found.parts["contrastive"] / found.frames))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10]), losses
    assert sum(told[-10:]) / 10 > 0.1 + sum(told[:10]) / 10, told


def test_what_cannot_be_is_refused_in_a_sentence():
    for model, match in (
        ({**WAV2VEC, "front_end": "identity"}, "of front_end wav2vec; set --front-end wav2vec"),
        ({**WAV2VEC, "encoder": "zipformer"}, "its encoder must not have heard"),
        (changed(CPC, encoder={"bidirectional": True}), "bilstm with bidirectional false"),
        (changed(WAV2VEC, front_end={"paddings": [1]}), "6 kernels with 6 strides and 1 paddings"),
        (changed(WAV2VEC, front_end={"frame_samples": 64}), "which is no multiple of frame_samples, 64"),
        (changed(WAV2VEC, front_end={"frame_samples": 40}), "takes frames of 40 samples, and the input has 80"),
        (changed(WAV2VEC, encoder={"context_kernels": []}), "context_kernels is empty"),
        (changed(CPC_LAYERS, encoder={"hidden_dim": 6}), "the encoder has 6 dimensions and the front end 8"),
        (changed(CPC_LAYERS, predictor={"num_heads": 3}), "3 heads of the predictor cannot share 8 dimensions"),
    ):
        with pytest.raises(ValueError, match=match):
            toy(model)
    system = toy(WAV2VEC)
    with pytest.raises(
        ValueError, match="cut cut-7: the convolutions make too few frames of its 7 frames of samples to tell one 3"
    ):
        system.losses(system.prepare(samples([7]), CPU), 0)
    with pytest.raises(ValueError, match="too short for the convolutions; raise --min-utterance-sec"):
        system.network.front_end.hear(torch.zeros(1, 5, 80), torch.tensor([5]))


def test_frames_with_nothing_ahead_do_not_count():
    config = toy(CPC).network.config
    assert config.num_encoder_frames(50) == 25 - 3 and config.num_encoder_frames(4) == 0
    assert toy(WAV2VEC).network.config.num_encoder_frames(50) == 23 - 3
    system = toy(CPC)
    found = system.contrast(system.prepare(samples([50, 12, 5]), CPU), [1, 2, 3])
    assert found.hidden.tolist() == [66.0, 9.0, 0.0] and float(found.nats[2].detach()) == 0.0


@pytest.mark.parametrize("name", ["gumbel", "cpc"])
def test_a_killed_training_goes_on_as_if_it_had_not_been(name, tmp_path):
    recipe = {"system": "predictive_coding", "model": MODELS[name], "loss": {"num_negatives": 5}, "mask": None}
    goes_on_exactly(write_samples(tmp_path / "corpus", recipe), tmp_path)


def test_figures_of_cuts_do_not_depend_on_their_company(tmp_path):
    recipe = {"system": "predictive_coding"}
    cuts, spec = load_feature_cuts(write_samples(tmp_path / "corpus", recipe) / "features" / "dev.jsonl.gz")
    system = toy(WAV2VEC).eval()
    every = system.figures([collate(cuts, spec)])
    assert every == system.figures([collate(CutSet.from_cuts([cut]), spec) for cut in cuts])
    assert 0 < every["dev_contrast_errors"] <= 100


@pytest.mark.parametrize(
    "recipe, parameters",
    # Counted in fairseq's Wav2VecModel and in CPC_audio's encoder, context and predictions.
    [("wav2vec_large", 32537088), ("vq_wav2vec_gumbel", 34063488), ("vq_wav2vec_kmeans", 33014272), ("cpc", 17656576)],
)
def test_the_published_shapes_build(recipe, parameters):
    settings = read_settings(CONF_DIR / "recipes" / f"{recipe}.json", None, [CONF_DIR], SimpleNamespace())
    network = build_predictive_coding(settings.model, SPEC)
    assert sum(value.numel() for value in network.parameters()) == parameters
    if recipe == "cpc":
        first = dataclasses.replace(settings.model, predictor=LinearConfig())
        assert sum(value.numel() for value in build_predictive_coding(first, SPEC).parameters()) == 2629888
