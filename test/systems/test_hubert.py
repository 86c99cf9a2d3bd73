"""HuBERT: its loss is that of its formula, units and frames, padding, exact resume, what recipes ask for."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lhotse.utils import fastcopy
from stand_in import ROOT
from synthetic_codes import goes_on_exactly
from toy_samples import CPU, SPEC, TOY, samples, write_samples

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach, load_feature_cuts, without_frames, write_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.data.targets.units import UnitTargets
from icefall_discrete.data.units import UNIT_LENS, UNITS, WithUnits, spec_of_units, with_units
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.systems.hidden_frames import own_seeds
from icefall_discrete.systems.hubert.network import build_hubert
from icefall_discrete.systems.hubert.settings import TrainSettings
from icefall_discrete.systems.hubert.system import HubertSystem

UNIT_SPEC = FeatureSpec("toy_units", "codes", 16000, 100.0, 1, (7,), 0)
MODEL = {name: TOY[name] for name in ("embedding_dim", "front_end", "encoder", "target_dim")}

SSL = ROOT / "egs" / "asterisk" / "SSL" / "conf" / "recipes"


def toy(units=UNIT_SPEC, **loss):
    torch.manual_seed(0)
    settings = from_dict(TrainSettings, {"model": MODEL, "loss": loss}, "test")
    network = build_hubert(settings.model, SPEC, units)
    torch.nn.init.normal_(network.unit_vectors)
    return HubertSystem(network, settings, SPEC)


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


def test_padding_changes_no_loss_and_a_batch_is_its_utterances():
    system = toy().eval()
    lens = [100, 60, 36]
    with torch.no_grad():
        together = system.know(system.prepare(batch_of(lens), CPU), [1, 2, 3])
        alone = [system.know(system.prepare(batch_of([n]), CPU), [i + 1]) for i, n in enumerate(lens)]
    for name in ("nats", "hidden", "correct", "seen_nats"):
        expected = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize(
    "recipe", [CONF_DIR / "recipes" / "hubert_base.json", SSL / "hubert_small_again.json"], ids=["base", "small"]
)
def test_recipes_are_read_and_build(recipe):
    settings = read_settings(recipe, None, [CONF_DIR], SimpleNamespace())
    assert settings.mask.start_prob == 0.08 and settings.loss.feature_penalty == 10.0
    if recipe.stem == "hubert_small_again":
        assert settings.target.units == "hubert_small_l4_km500"
        assert build_hubert(settings.model, SPEC, UNIT_SPEC).units_of_frames(torch.arange(100)[None], 49)[0, -1] == 96
