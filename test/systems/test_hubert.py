"""HuBERT: its loss is that of its formula, units and frames, padding, exact resume, what recipes ask for; features."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from frozen_encoder import learns
from lhotse.utils import fastcopy
from published_shapes import PUBLISHED_LARGE
from stand_in import ROOT
from synthetic_codes import goes_on_exactly
from toy_samples import CPU, SPEC, TOY, samples, write_samples

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach, load_feature_cuts, without_frames, write_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.data.targets.units import UnitTargets
from icefall_discrete.data.units import UNIT_LENS, UNITS, WithUnits, spec_of_units, with_units
from icefall_discrete.experiment.initial_weights import begin_with
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.systems.asr.transducer import ModelConfig as RecogniserConfig
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.systems.hidden_frames import own_seeds
from icefall_discrete.systems.hubert.network import build_hubert
from icefall_discrete.systems.hubert.settings import TrainSettings
from icefall_discrete.systems.hubert.system import HubertSystem
from icefall_discrete.systems.training_settings import InitialConfig

UNIT_SPEC = FeatureSpec("toy_units", "codes", 16000, 100.0, 1, (7,), 0)
MODEL = {name: TOY[name] for name in ("embedding_dim", "front_end", "encoder", "target_dim")}

FBANK = FeatureSpec("toy_fbank", "continuous", 16000, 100.0, 0, (), 8)
STACKS = {
    "encoder_dim": [16],
    "encoder_unmasked_dim": [16],
    "downsampling_factor": [1, 2],
    "num_encoder_layers": [1],
    "num_heads": [2],
    "feedforward_dim": [24],
    "cnn_module_kernel": [5],
    "warmup_batches": 1.0,
    "dropout": [0.0],
}
ZIPFORMER = {"kind": "zipformer", "output_downsampling_factor": 1, **STACKS}
PLAIN = {
    "kind": "transformer",
    "dim": 16,
    "num_layers": 1,
    "num_heads": 2,
    "feedforward_dim": 32,
    "dropout": [0.0],
    "attention_dropout": 0.0,
    "positional_dropout": 0.0,
}
OF_FEATURES = {
    "embedding_dim": 0,
    "comparison": "linear",
    "front_end": {"kind": "conv1d", "stride": 2},
    "encoder": ZIPFORMER,
}

SSL = ROOT / "egs" / "asterisk" / "SSL" / "conf" / "recipes"


def toy(units=UNIT_SPEC, **loss):
    torch.manual_seed(0)
    settings = from_dict(TrainSettings, {"model": MODEL, "loss": loss}, "test")
    network = build_hubert(settings.model, SPEC, units)
    torch.nn.init.normal_(network.unit_vectors)
    return HubertSystem(network, settings, SPEC)


def toy_of_features(model=OF_FEATURES, **sections):
    torch.manual_seed(0)
    settings = from_dict(TrainSettings, {"model": model, **sections}, "test")
    return HubertSystem(build_hubert(settings.model, FBANK, UNIT_SPEC), settings, FBANK)


def features_of(lens):
    rows = [torch.randn(length, 8, generator=torch.Generator().manual_seed(length)) for length in lens]
    units = [torch.arange(length) % 7 for length in lens]
    return {
        "features": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        "frame_lens": torch.tensor(lens),
        "cut_ids": [f"cut-{length}" for length in lens],
        UNITS: torch.nn.utils.rnn.pad_sequence(units, batch_first=True, padding_value=-1),
        UNIT_LENS: torch.tensor(lens),
    }


def batch_of(lens):
    rows = [torch.arange(length // 2) % 7 for length in lens]
    units = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    return {**samples(lens), UNITS: units, UNIT_LENS: torch.tensor([len(row) for row in rows])}


def by_formula(network, states, units):
    """Nats of each frame: a unit against all others by cosines, the pairs of fairseq's compute_nce written out."""
    x, vectors, nats = network.project_states(states), network.unit_vectors, []
    for state, unit in zip(x, units):
        rows = [vectors[unit], *(vector for number, vector in enumerate(vectors) if number != unit)]
        cosines = torch.stack([F.cosine_similarity(state, row, dim=0) for row in rows])
        nats.append(-(cosines / 0.1).log_softmax(dim=0)[0])
    return torch.stack(nats)


def test_the_loss_is_that_of_the_formula():
    system = toy(seen_weight=0.5).eval()
    network, batch = system.network, batch_of([60])
    prepared = system.prepare(batch, CPU)
    hidden = torch.zeros(1, network.config.num_encoder_frames(60), dtype=torch.bool)
    hidden[:, 10:25] = True
    found = network.know(prepared.frames, prepared.lens, prepared.units, hidden)
    heard = network.front_end.hear(prepared.frames, prepared.lens)
    vectors = network.front_end.hide(network.front_end.vectors(heard.frames), hidden)
    states = network.encoder(vectors, heard.lens).encoder_out[0]
    # 100 units and 200 frames a second: frame t has unit t / 2, and fairseq drops frames without one.
    units = batch[UNITS][0][torch.arange(len(states)) // 2]
    nats = by_formula(network, states, units)
    assert float(found.nats) == pytest.approx(float(nats[hidden[0]].sum()), rel=1e-5)
    assert float(found.seen_nats) == pytest.approx(float(nats[~hidden[0]].sum()), rel=1e-5)
    assert int(found.hidden) == 15 and int(found.seen) == len(states) - 15
    losses = system.losses(prepared, 0)
    again = system.know(prepared, own_seeds(["cut-60"]))
    expected = (
        again.nats.sum() / again.hidden.sum() + 0.5 * again.seen_nats.sum() / again.seen.sum() + 10 * again.penalty
    )
    assert float(losses.mean) == pytest.approx(float(expected), rel=1e-6)


def test_an_encoder_that_is_frozen_learns_nothing():
    system = toy()
    assert learns(system, system.prepare(batch_of([100, 60]), CPU)) == [False, True]


def test_padding_changes_no_loss_and_a_batch_is_its_utterances():
    system = toy().eval()
    lens = [100, 60, 36]
    with torch.no_grad():
        together = system.know(system.prepare(batch_of(lens), CPU), [1, 2, 3])
        alone = [system.know(system.prepare(batch_of([n]), CPU), [i + 1]) for i, n in enumerate(lens)]
    for name in ("nats", "hidden", "correct", "seen_nats"):
        expected = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-4, atol=1e-4)


def test_hidden_features_are_not_heard_and_scores_are_a_linear_layers():
    system = toy_of_features().eval()
    network, batch = system.network, features_of([61])
    frames, lens = network.config.num_encoder_frames(61), torch.tensor([61])
    hidden = torch.zeros(1, frames, dtype=torch.bool)
    hidden[0, 10:16] = hidden[0, -3:] = True
    covered = network.covered(hidden, lens, 61)[0]
    # Two frames of features for each of the front end's; the odd one at the end goes with the last of these.
    assert covered.nonzero()[:, 0].tolist() == [*range(20, 32), *range(2 * frames - 6, 61)]
    other = batch["features"].clone()
    other[0, covered] += 3.0
    units = batch[UNITS]
    with torch.no_grad():
        found, again = (network.know(one, lens, units, hidden) for one in (batch["features"], other))
        vectors, heard_lens, penalty = network.hear(batch["features"], lens, hidden)
        states = network.encoder(vectors, heard_lens).encoder_out[0]
    assert all(torch.equal(one, two) for one, two in zip(found, again))
    other[0, 40] += 3.0
    assert float(network.know(other, lens, units, hidden).nats) != float(found.nats)
    # 100 units and 50 frames a second.
    scores = (states @ network.score_states.weight.t() + network.score_states.bias) / 0.1
    nats = F.cross_entropy(scores, units[0, 2 * torch.arange(frames)], reduction="none")
    assert float(found.nats) == pytest.approx(float(nats[hidden[0]].sum()), rel=1e-5)
    assert float(penalty) == pytest.approx(float(vectors.square().mean()), rel=1e-6) == float(found.penalty)


def test_features_in_a_padded_batch_lose_what_they_lose_alone():
    system = toy_of_features().eval()
    lens = [90, 61, 36]
    with torch.no_grad():
        together = system.know(system.prepare(features_of(lens), CPU), [1, 2, 3])
        alone = [system.know(system.prepare(features_of([n]), CPU), [i + 1]) for i, n in enumerate(lens)]
    for name in ("nats", "hidden", "correct", "seen_nats"):
        expected = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-4, atol=1e-4)


def test_units_of_hidden_features_are_learnt_from_those_around_them():
    sections = {"mask": {"length": 2, "start_prob": 0.1}, "loss": {"feature_penalty": 0.0}}
    system = toy_of_features({**OF_FEATURES, "encoder": PLAIN}, **sections).train()
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    batch = features_of([56] * 4)
    batch[UNITS] = (torch.arange(56) + torch.arange(0, 12, 3)[:, None]) // 12 % 7
    batch["features"] = F.one_hot(batch[UNITS], 8).float()
    losses = []
    for step in range(50):
        found = system(system.prepare(batch, CPU), step)
        optimizer.zero_grad()
        found.objective().backward()
        optimizer.step()
        losses.append(float(found.parts["masked"] / found.frames))
    assert min(losses[:3]) > 1.9 and sum(losses[-8:]) / 8 < 1.0, losses  # chance: log 7 = 1.95


def test_a_recogniser_of_half_the_rate_begins_with_a_zipformer_that_kept_it(tmp_path):
    torch.save({"model": toy_of_features().network.state_dict()}, tmp_path / "hubert.pt")
    heads = {"transducer": {"decoder_dim": 8, "joiner_dim": 8}}
    own = {name: OF_FEATURES[name] for name in ("embedding_dim", "front_end")}
    model = {**own, "encoder": {**ZIPFORMER, "output_downsampling_factor": 2}, "heads": heads, "inner_ctc_stacks": []}
    network = build_transducer(from_dict(RecogniserConfig, model, "test"), FBANK, 11, AugmentConfig())
    init = InitialConfig(str(tmp_path / "hubert.pt"), ("input_embedding", "front_end", "encoder"))
    assert begin_with(network, init, FBANK, None).taken == init.init_modules
    kept = toy_of_features().network.encoder.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in network.encoder.state_dict().items() if name in kept)
    assert torch.equal(network.encoder.output_downsample.bias, torch.zeros(2))


def test_what_it_cannot_hear_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="'toy_units' are codes, and HuBERT hears samples or features"):
        build_hubert(from_dict(TrainSettings, {"model": OF_FEATURES}, "test").model, UNIT_SPEC, UNIT_SPEC)
    for model, match in (
        (
            {**OF_FEATURES, "encoder": {**ZIPFORMER, "output_downsampling_factor": 2}},
            "the encoder must keep their rate",
        ),
        ({**OF_FEATURES, "input_positions": True}, "set learned_codes to 0, and input_positions to false"),
    ):
        with pytest.raises(ValueError, match=match):
            toy_of_features(model)
    samples = from_dict(TrainSettings, {"model": MODEL}, "test").model
    samples.require_heard(SPEC)
    mels = FeatureSpec("fbank", "continuous", 16000, 100.0, 0, (), 80)
    with pytest.raises(ValueError, match="reads samples, and 'fbank' has 80 dimensions 100 times a second"):
        samples.require_heard(mels)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Samples in `features`, and units of the same cuts in `toy_units` beside it."""
    recipe = {"system": "hubert", "model": MODEL, "target": {"units": "toy_units"}}
    folder = write_samples(tmp_path_factory.mktemp("hubert") / "corpus", recipe)
    (folder / "toy_units").mkdir()
    UNIT_SPEC.write(folder / "toy_units" / "spec.json")
    for split in ("train", "dev"):
        cuts = []
        with FlatArchiveWriter(folder / "toy_units" / f"{split}.codes") as writer:
            for cut in load_feature_cuts(folder / "features" / f"{split}.jsonl.gz")[0]:
                codes = (np.arange(round(cut.duration * 100)) % 7).astype(np.int16)[:, None]
                array = writer.store_array(cut.id, codes, frame_shift=0.01, temporal_dim=0, start=0.0)
                array.array.storage_path = f"{split}.codes"
                cuts.append(attach(without_frames(cut), array, UNIT_SPEC))
        write_cuts(folder / "toy_units" / f"{split}.jsonl.gz", cuts)
    return folder


def test_a_killed_training_goes_on_as_if_it_had_not_been(corpus, tmp_path):
    goes_on_exactly(corpus, tmp_path)


def test_one_of_features_goes_on_too(corpus, tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("features", "toy_units"):
        (folder / name).symlink_to(corpus / name, target_is_directory=True)
    recipe = {**json.loads((corpus / "recipe.json").read_text()), "model": {**OF_FEATURES, "encoder": PLAIN}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    goes_on_exactly(folder, tmp_path)


def test_units_come_with_their_cuts_also_with_parts_of_them(corpus, tmp_path):
    cuts, spec = load_feature_cuts(corpus / "features" / "dev.jsonl.gz")
    whole = with_units(cuts, corpus / "toy_units", "dev")
    assert spec_of_units(whole) == UNIT_SPEC
    part = fastcopy(whole[0], start=0.1, duration=0.15)
    batch = WithUnits(UNIT_SPEC)([part, whole[1]], collate([part, whole[1]], spec))
    assert batch[UNITS][0, :15].tolist() == [number % 7 for number in range(10, 25)]
    assert batch[UNIT_LENS].tolist() == [15, 32] and batch[UNITS][0, 15:].eq(-1).all()
    with pytest.raises(FileNotFoundError, match=r"extract that feature type first .run.sh --feature-type other"):
        with_units(cuts, corpus / "other", "dev")
    units = list(load_feature_cuts(corpus / "toy_units" / "dev.jsonl.gz")[0])
    shutil.copytree(corpus / "toy_units", tmp_path / "fewer")
    write_cuts(tmp_path / "fewer" / "dev.jsonl.gz", units[1:])
    with pytest.raises(ValueError, match=r"cut dev-0: it has no codes in .*; extract both feature types"):
        with_units(cuts, tmp_path / "fewer", "dev")


def test_units_of_an_experiment_are_kept(tmp_path):
    targets = UnitTargets(UNIT_SPEC)
    targets.save(tmp_path)
    targets.save(tmp_path)
    assert UnitTargets.load(tmp_path).means_the_same(targets) and targets.size == 7
    other = {**UNIT_SPEC.to_json(), "codebook_sizes": [9]}
    with pytest.raises(ValueError, match="codebook_sizes"):
        UnitTargets(from_dict(FeatureSpec, json.loads(json.dumps(other)), "test")).save(tmp_path)


def test_the_recipe_of_a_small_second_iteration_builds():
    recipe = SSL / "hubert_small_again.json"
    settings = read_settings(recipe, None, [CONF_DIR], SimpleNamespace())
    assert settings.mask.start_prob == 0.08 and settings.loss.feature_penalty == 10.0
    assert settings.target.units == "hubert_small_l4_km500"
    assert build_hubert(settings.model, SPEC, UNIT_SPEC).units_of_frames(torch.arange(100)[None], 49)[0, -1] == 96


@pytest.mark.parametrize(
    "name", ["hubert_base", "hubert_base_again", "hubert_large", "hubert_zipformer", "hubert_fbank"]
)
def test_the_published_shapes_build(name):
    """As many weights as transformers' network of the published configuration, and those of the comparison."""
    transformers = pytest.importorskip("transformers")
    if torch.__version__.startswith("1."):
        pytest.skip("models are counted on the meta device, torch >= 2.1")
    settings = read_settings(CONF_DIR / "recipes" / f"{name}.json", None, [CONF_DIR], SimpleNamespace())
    units = FeatureSpec("u", "codes", 16000, 50.0, 1, (100 if name == "hubert_base" else 500,), 0)
    mels = FeatureSpec("fbank", "continuous", 16000, 100.0, 0, (), 80)
    with torch.device("meta"):
        network = build_hubert(settings.model, mels if name == "hubert_fbank" else SPEC, units)
        if name in ("hubert_zipformer", "hubert_fbank"):
            assert len(network.score_states.weight) == 500 and network.config.comparison == "linear"
        else:
            reference = transformers.HubertModel(
                transformers.HubertConfig(**(PUBLISHED_LARGE if name == "hubert_large" else {}))
            )
            target, states = (768, 1024) if name == "hubert_large" else (256, 768)
            ours = sum(value.numel() for value in network.parameters())
            theirs = sum(value.numel() for value in reference.parameters())
            assert ours == theirs + (states + 1) * target + units.codebook_sizes[0] * target
    assert (settings.mask.start_prob == 0.065) == (name == "hubert_zipformer")
