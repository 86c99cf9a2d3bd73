"""wav2vec 2.0: equal to transformers', negatives, padding, exact resume, something learnt, the published shapes."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from frozen_encoder import learns
from lhotse import CutSet
from published_shapes import PUBLISHED_LARGE
from stand_in import ROOT
from synthetic_codes import goes_on_exactly
from toy_samples import CPU, LARGE, SPEC, TOY, changed, generator, samples, write_samples

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.experiment.initial_weights import begin_with, require_something_to_adapt
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.nn.encoders.wav2vec2.transformers_names import from_transformers
from icefall_discrete.nn.front_ends.waveform import WaveformConfig
from icefall_discrete.systems.asr.transducer import ModelConfig as RecogniserConfig
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.systems.hidden_spans import SpanConfig
from icefall_discrete.systems.negatives import draw, others_of
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.wav2vec2.network import build_wav2vec2
from icefall_discrete.systems.wav2vec2.settings import LossConfig, TrainSettings
from icefall_discrete.systems.wav2vec2.system import Wav2Vec2System
from icefall_discrete.training.optimizers.adam import AdamConfig

RECIPE = {"system": "wav2vec2", "model": TOY, "loss": {"num_negatives": 5}}


def toy(model=TOY, num_negatives=5, **loss):
    torch.manual_seed(0)
    settings = from_dict(TrainSettings, {"model": model, "loss": {"num_negatives": num_negatives, **loss}}, "test")
    return Wav2Vec2System(build_wav2vec2(settings.model, SPEC), settings, SPEC)


def theirs(model):
    """transformers' network of the same shape, and ours with its weights."""
    transformers = pytest.importorskip("transformers")
    encoder, front_end = model["encoder"], model["front_end"]
    dropouts = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "layerdrop")
    config = transformers.Wav2Vec2Config(
        **dict.fromkeys((*dropouts, "feat_quantizer_dropout", "final_dropout"), 0.0),
        hidden_size=encoder["dim"],
        num_hidden_layers=encoder["num_layers"],
        num_attention_heads=encoder["num_heads"],
        intermediate_size=encoder["feedforward_dim"],
        num_conv_pos_embeddings=encoder["position_kernel"],
        num_conv_pos_embedding_groups=encoder["position_groups"],
        do_stable_layer_norm=encoder.get("norm_first", False),
        feat_extract_norm=front_end.get("norm", "group"),
        conv_bias=front_end.get("conv_bias", False),
        conv_dim=[front_end["channels"]] * len(front_end["kernels"]),
        conv_kernel=front_end["kernels"],
        conv_stride=front_end["strides"],
        num_codevectors_per_group=model["quantizer"]["group_codes"],
        codevector_dim=model["quantizer"]["out_dim"],
        proj_codevector_dim=model["target_dim"],
    )
    torch.manual_seed(1)
    reference = transformers.Wav2Vec2ForPreTraining(config)
    for value in reference.parameters():
        torch.nn.init.normal_(value, std=0.4)
    system = toy(model)
    weights = from_transformers(reference.state_dict())
    system.network.load_state_dict({**system.network.state_dict(), **weights})
    assert set(system.network.state_dict()) - set(weights) == {"input_embedding.mean", "input_embedding.scale"}
    return reference, system


def best(scores, tau, hard, dim=-1):
    """Stands for the draw of a code, so that both networks take the same."""
    chosen = F.one_hot(scores.argmax(dim=-1), scores.shape[-1]).to(scores.dtype)
    soft = (scores / tau).softmax(dim=-1)
    return chosen - soft.detach() + soft


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("model", [TOY, LARGE], ids=["base", "large"])
def test_losses_logits_and_gradients_are_those_of_transformers(model, training, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", best)
    reference, system = theirs(model)
    reference.train(training), system.train(training)
    network = system.network
    reference.set_gumbel_temperature(network.config.quantizer.temperature_at(7))
    frames = torch.randn(2, 60, 80, generator=generator())
    num_frames = network.config.num_encoder_frames(60)
    drawn = draw([num_frames] * 2, ["a", "b"], SpanConfig(start_prob=0.1, length=4), 5, [3, 4])
    rows = drawn.hidden.flatten().nonzero().squeeze(1)
    negatives = torch.zeros(2 * num_frames, 5, dtype=torch.long)
    negatives[rows] = rows[drawn.negatives]
    said = reference(
        frames.flatten(1), mask_time_indices=drawn.hidden, sampled_negative_indices=negatives.view(2, -1, 5)
    )
    found = network.contrast(frames, torch.tensor([60, 60]), drawn, 7)
    count = int(found.hidden.sum())
    assert found.nats.sum().item() == pytest.approx(said.contrastive_loss.item(), rel=1e-5)
    assert found.perplexity.item() == pytest.approx(said.codevector_perplexity.item(), rel=1e-5)
    assert found.quantizer_loss.item() * count == pytest.approx(said.diversity_loss.item(), rel=1e-4)
    loss = found.nats.sum() + 0.1 * count * found.quantizer_loss
    assert loss.item() == pytest.approx(said.loss.item(), rel=1e-5)
    # transformers' own gradients are not all set in torch 1.13 (nn/lengths.py says what that is).
    if training and not torch.__version__.startswith("1."):
        said.loss.backward(), loss.backward()
        for ours, other in (
            ("encoder.layers.0.self_attn.linear_q", reference.wav2vec2.encoder.layers[0].attention.q_proj),
            ("front_end.convolutions.0", reference.wav2vec2.feature_extractor.conv_layers[0].conv),
            ("quantizer.scores", reference.quantizer.weight_proj),
        ):
            gradient = network.get_submodule(ours).weight.grad
            torch.testing.assert_close(gradient, other.weight.grad, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
@pytest.mark.parametrize("base", [TOY, LARGE], ids=["base", "large"])
def test_a_recogniser_begins_with_a_folder_of_transformers_and_gives_the_same(kind, base, tmp_path):
    transformers = pytest.importorskip("transformers")
    reference, _ = theirs(base)
    model, more = base, {}
    if kind == "WavLM":
        model = changed(model, encoder={"relative_buckets": 8, "largest_offset": 12})
        more = {"num_buckets": 8, "max_bucket_distance": 12}
    config = getattr(transformers, f"{kind}Config")(**{**reference.config.to_dict(), "model_type": None, **more})
    reference = getattr(transformers, f"{kind}Model")(config).eval()
    for value in reference.parameters():
        torch.nn.init.normal_(value, std=0.4)
    reference.save_pretrained(tmp_path)
    asr = {name: model[name] for name in ("embedding_dim", "front_end", "encoder")}
    network = build_transducer(from_dict(RecogniserConfig, asr, "test"), SPEC, 11, AugmentConfig()).eval()
    taken = InitialConfig(str(tmp_path), ("front_end", "encoder"))
    spec = dataclasses.replace(SPEC, provenance={"normalisation": "unit_variance" if base is LARGE else "none"})
    assert begin_with(network, taken, spec, None).taken == ("front_end", "encoder")
    frames = torch.randn(1, 70, 80, generator=generator())
    with torch.no_grad():
        said = reference(frames.flatten(1), output_hidden_states=True)
        found = network.encode(frames, torch.tensor([70]), inner=[0])
    torch.testing.assert_close(found.encoder_out, said.last_hidden_state, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.inner[0][0], said.hidden_states[1], rtol=1e-4, atol=1e-4)
    other = dataclasses.replace(SPEC, provenance={"normalisation": "none" if base is LARGE else "layer_norm"})
    with pytest.raises(ValueError, match=r"scaled to variance 1, other than 'waveform'; use --feature-type waveform"):
        begin_with(network, taken, other, None)
    heads = {**asr, "encoder": {**asr["encoder"], "num_heads": 4}}
    network = build_transducer(from_dict(RecogniserConfig, heads, "test"), SPEC, 11, AugmentConfig())
    with pytest.raises(ValueError, match="has num_heads 2, here it is 4; choose the --model-size of that model"):
        begin_with(network, taken, spec, None)


def test_lower_layers_learn_more_slowly_where_that_is_asked_for():
    names = ("front_end.project.weight", "encoder.layers.0.norm1.weight", "encoder.layers.2.norm1.weight", "ctc.weight")
    parameters = [(name, torch.nn.Parameter(torch.zeros(1))) for name in names]
    config = AdamConfig(schedule="constant", peak_lr=1.0, layer_decay=0.5)
    optimizer, schedule = config.build(parameters, None)
    schedule.step_batch(1)
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert [rates[id(value)] for _, value in parameters] == [0.0625, 0.125, 0.5, 1.0]
    with pytest.raises(ValueError, match="layer_decay is for encoders of layers in a row"):
        config.build(parameters[:1], None)


def test_negatives_are_other_hidden_frames_of_the_utterance_drawn_evenly():
    drawn = draw([40, 3, 90], ["a", "b", "c"], SpanConfig(start_prob=0.065), 50, [1, 2, 3])
    rows = drawn.hidden.nonzero()[:, 0]
    assert not drawn.hidden[1].any() and not drawn.hidden[0, 40:].any()
    assert torch.equal(rows[drawn.negatives], rows.unsqueeze(1).expand_as(drawn.negatives))
    assert not (drawn.negatives == torch.arange(len(rows)).unsqueeze(1)).any()
    counts = torch.stack([torch.bincount(row, minlength=5) for row in others_of(5, 20000, generator())])
    assert int(counts.diagonal().max()) == 0
    assert float((counts[~torch.eye(5, dtype=torch.bool)] / 5000.0 - 1.0).abs().max()) < 0.08
    with pytest.raises(ValueError, match="cut short: 3 frames, of which fewer than 2 can be hidden"):
        draw([3], ["short"], SpanConfig(), 5, [1])


KMEANS = {**TOY, "quantizer": {"kind": "kmeans", "group_codes": 6, "out_dim": 8}}
WAVLM = changed(LARGE, encoder={"relative_buckets": 8})


def test_an_encoder_that_is_frozen_learns_nothing():
    system = toy(TOY)
    assert learns(system, system.prepare(samples([100, 60]), CPU)) == [False, True]


@pytest.mark.parametrize("model", [TOY, WAVLM, KMEANS], ids=["base", "wavlm", "kmeans"])
def test_padding_changes_no_loss_and_a_batch_is_its_utterances(model):
    system = toy(model).eval()
    lens = [100, 60, 35]
    with torch.no_grad():
        batch = samples(lens)
        together = system.contrast(system.prepare(batch, CPU), [1, 2, 3])
        batch["features"] = F.pad(batch["features"], (0, 0, 0, 90))
        padded = system.losses(system.prepare(batch, CPU), 0)
        plain = system.losses(system.prepare(samples(lens), CPU), 0)
        alone = [system.contrast(system.prepare(samples([n]), CPU), [i + 1]) for i, n in enumerate(lens)]
    assert float(padded.total) == pytest.approx(float(plain.total), rel=1e-5)
    for name in ("nats", "hidden", "correct"):
        torch.testing.assert_close(
            getattr(together, name), torch.cat([getattr(one, name) for one in alone]), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(
    "quantizer, held, start_prob, rate",
    [(TOY["quantizer"], 16, 0.03, 0.004), (KMEANS["quantizer"], 10, 0.065, 0.005)],
    ids=["gumbel", "kmeans"],
)
def test_hidden_frames_are_learnt_to_be_told_apart(quantizer, held, start_prob, rate):
    wide = changed(TOY, front_end={"channels": 16}, encoder={"dim": 32, "num_heads": 4, "feedforward_dim": 64})
    system = toy({**wide, "quantizer": {**quantizer, "group_codes": 16}}, num_negatives=10, feature_penalty=0.0)
    system.mask = SpanConfig(start_prob=start_prob, length=4)
    pitch = 0.02 * 1.5 ** torch.arange(8).repeat_interleave(held).unsqueeze(1)  # tones, which any neighbour tells
    tone = torch.sin(torch.arange(8 * held * 80).view(-1, 80) * pitch)
    batch = {"features": tone.unsqueeze(0), "frame_lens": torch.tensor([8 * held]), "cut_ids": ["tones"]}
    optimizer = torch.optim.Adam(system.parameters(), rate)
    told = []
    for step in range(100):
        found = system(system.prepare(batch, CPU), step)
        optimizer.zero_grad()
        found.objective().backward()
        optimizer.step()
        told.append(float(found.parts["contrast_acc"] / found.frames))
    assert sum(told[-20:]) / 20 > 0.12 + sum(told[:20]) / 20, told


def test_masks_of_fine_tuning_hide_frames_and_dimensions_in_training_only():
    config = WaveformConfig(channels=8, kernels=(10, 4, 4), strides=(5, 4, 4), mask_start_prob=0.065)
    front_end = config.build(80, 16, 0.0)
    x = torch.randn(3, 200, 80, generator=generator())
    lens = torch.tensor([200, 150, 120])
    hidden = (front_end(x, lens)[0] == front_end.mask_vector).all(dim=2)
    assert 0.3 < float(hidden[0].float().mean()) < 0.65 and not hidden[2, 120:].any()
    assert not (front_end.eval()(x, lens)[0] == front_end.mask_vector).all(dim=2).any()


def test_what_cannot_be_is_refused_in_a_sentence():
    for model, match in (
        ({**TOY, "front_end": "identity"}, "its front_end must be waveform"),
        (
            changed(TOY, front_end={"frame_samples": 64}),
            "a frame of 80 samples, which is no multiple of frame_samples, 64",
        ),
        (changed(TOY, front_end={"frame_samples": 40}), "takes frames of 40 samples, and the input has 80 dimensions"),
        ({**TOY, "encoder": "zipformer"}, "so that the encoder must keep their rate"),
        (changed(TOY, quantizer={"out_dim": 7}), "out_dim is 7, which 2 codebooks cannot share"),
    ):
        with pytest.raises(ValueError, match=match):
            toy(model)


def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path):
    goes_on_exactly(write_samples(tmp_path / "corpus", RECIPE), tmp_path)


def test_figures_of_cuts_do_not_depend_on_their_company(tmp_path):
    cuts, spec = load_feature_cuts(write_samples(tmp_path / "corpus", RECIPE) / "features" / "dev.jsonl.gz")
    system = toy().eval()
    every = system.figures([collate(cuts, spec)])
    assert every == system.figures([collate(CutSet.from_cuts([cut]), spec) for cut in cuts])
    assert 0 < every["dev_contrast_errors"] <= 100


@pytest.mark.parametrize("size", ["base", "large", "xlsr"])
def test_the_published_shapes_build(size):
    """As many weights as transformers' network of the published configuration."""
    transformers = pytest.importorskip("transformers")
    if torch.__version__.startswith("1."):
        pytest.skip("models are counted on the meta device, torch >= 2.1")
    settings = read_settings(CONF_DIR / "recipes" / f"wav2vec2_{size}.json", None, [CONF_DIR], SimpleNamespace())
    large = {
        **PUBLISHED_LARGE,
        "codevector_dim": 768,
        "proj_codevector_dim": 768,
    }
    with torch.device("meta"):
        network = build_wav2vec2(settings.model, SPEC)
        reference = transformers.Wav2Vec2ForPreTraining(
            transformers.Wav2Vec2Config(**(large if size != "base" else {}))
        )
    assert sum(value.numel() for value in network.parameters()) == sum(
        value.numel() for value in reference.parameters()
    )
    assert settings.loss == LossConfig(feature_penalty=10.0 if size == "base" else 0.0)
    assert settings.loader.language_temperature == (2.0 if size == "xlsr" else 1.0)
    assert network.config.num_encoder_frames(200) == 49, "a second has 49 frames"


def test_recipes_of_fine_tuning_take_what_pretraining_gives(tmp_path):
    recipes = ROOT / "egs" / "asterisk" / "ASR" / "conf" / "recipes"
    tuned = read_settings(recipes / "wav2vec2_ctc_10.json", None, [CONF_DIR], SimpleNamespace())
    pretraining = recipes.parents[2] / "SSL" / "conf" / "recipes" / "wav2vec2_small.json"
    before = read_settings(pretraining, None, [CONF_DIR], SimpleNamespace())
    assert tuned.model.front_end.gradient_scale == 0.0 and tuned.model.front_end.mask_start_prob == 0.065
    torch.save({"model": build_wav2vec2(before.model, SPEC).state_dict()}, tmp_path / "pretrained.pt")
    network = build_transducer(tuned.model, SPEC, 11, AugmentConfig())
    init = dataclasses.replace(tuned.init, init_from=str(tmp_path / "pretrained.pt"))
    assert begin_with(network, init, SPEC, None).taken == ("front_end", "encoder")
    base = read_settings(CONF_DIR / "recipes" / "finetune_wav2vec2.json", None, [CONF_DIR], SimpleNamespace())
    assert base.loss.ctc_loss_scale == 1.0 and base.train.optimizer.schedule == "tri_stage"
    unfit = dataclasses.replace(init, init_modules=("fitting",))
    assert begin_with(network, unfit, SPEC, None).taken == ("input_embedding", "front_end", "encoder")


@pytest.mark.parametrize(
    "name, model_type, hidden, zeros, rate, steps, frozen",
    [
        ("finetune_wav2vec2_1h", "base", 0.65, 0.25, 5e-5, 13000, 10000),
        ("finetune_wav2vec2_10h", "base", 0.65, 0.5, 5e-5, 20000, 10000),
        ("finetune_wav2vec2", "base", 0.65, 0.5, 3e-5, 80000, 0),
        ("finetune_wav2vec2_960h", "base", 0.5, 0.1, 1e-5, 320000, 0),
        ("finetune_wav2vec2_large_10h", "large", 0.75, 0.25, 1e-4, 20000, 10000),
        ("finetune_wav2vec2_large_100h", "large", 0.5, 0.5, 3e-5, 80000, 10000),
        ("finetune_wav2vec2_large_960h", "large", 0.5, 0.25, 3e-5, 320000, 10000),
        ("finetune_hubert_10h", "base", 0.75, 0.5, 2e-5, 80000, 10000),
    ],
)
def test_published_fine_tunings_are_as_published(name, model_type, hidden, zeros, rate, steps, frozen):
    """fairseq's files of these names: shares of hidden frames and of zeros, rate, steps, steps of the head alone."""
    settings = read_settings(CONF_DIR / "recipes" / f"{name}.json", None, [CONF_DIR], SimpleNamespace())
    front_end, optimizer = settings.model.front_end, settings.train.optimizer
    assert front_end.mask_start_prob * front_end.mask_length == pytest.approx(hidden)
    assert front_end.mask_channel_start_prob * front_end.mask_channel_length == pytest.approx(zeros, rel=0.03)
    assert (optimizer.peak_lr, optimizer.total_steps) == (rate, steps)
    shares = (0.1, 0.0) if name == "finetune_hubert_10h" else (0.1, 0.4)
    assert (optimizer.warmup_steps / steps, optimizer.hold_steps / steps) == shares
    assert settings.init.frozen_steps == frozen and settings.loss.ctc_loss_scale == 1.0
    assert settings.model.encoder.num_layers == (24 if model_type == "large" else 12)
    if frozen:
        with pytest.raises(ValueError, match="frozen_steps is 10000 and would keep random weights"):
            require_something_to_adapt(settings)
