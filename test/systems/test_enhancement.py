"""Enhancement and separation of toy codes: pairs, training, exact resume, audio of what is found, what is refused."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy
from synthetic_codes import goes_on_exactly, make_trainer
from toy_speech import FRAME, SIZE, SPEC, sung, write_split

from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_feature_cuts, load_frames, write_cuts
from icefall_discrete.data.sources import WithSources, codes_of_sources, with_sources
from icefall_discrete.data.targets.sources import SourceTargets
from icefall_discrete.inference import sounding
from icefall_discrete.inference.sounding import Sounder, sound_split
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.enhancement.files import EnhancementFiles
from icefall_discrete.systems.enhancement.network import ModelConfig, build_enhancer
from icefall_discrete.systems.enhancement.prediction import EnhancementPrediction, NothingToChoose
from icefall_discrete.systems.enhancement.settings import TargetConfig, TrainSettings
from icefall_discrete.systems.enhancement.system import in_order
from icefall_discrete.systems.prediction import RunConfig, Trained
from icefall_discrete.systems.vocoder.heard import Heard, write_heard

MODEL = {
    "encoder": {
        "kind": "transformer",
        "dim": 16,
        "num_layers": 1,
        "num_heads": 2,
        "feedforward_dim": 16,
        "dropout": [0.0],
    },
    "front_end": "identity",
    "embedding_dim": 16,
    "head_dropout": 0.0,
}
RECIPE = {
    "system": "enhancement",
    "model_size": "tiny",
    "model": MODEL,
    "loader": {"max_duration": 2.0, "num_buckets": 2},
    "train": {
        "num_epochs": 2,
        "optimizer": {"kind": "adam", "peak_lr": 0.01, "schedule": "constant"},
        "average_period": 1,
        "tensorboard": False,
        "device": "cpu",
    },
}
SPLITS = {"train": 8, "dev": 2, "test": 2}


def write_source(folder, source, split):
    """The cuts of a split as those of a source: same ids, other recordings, of each code the next one (or but one)."""
    features, name = folder / "features", f"{split}-{source}"
    step = 2 if source == "source2" else 1
    codes = np.fromfile(features / f"{split}.codes", dtype="<i2")
    ((codes + step) % SIZE).astype("<i2").tofile(features / f"{name}.codes")
    cuts = []
    for cut in load_cuts(features / f"{split}.jsonl.gz"):
        held = cut.custom["codes"]
        moved = fastcopy(held, array=fastcopy(held.array, storage_path=f"{name}.codes"))
        recording = fastcopy(cut.recording, id=f"{cut.id}-{source}")
        cuts.append(fastcopy(cut, recording=recording, custom={"codes": moved}))
    write_cuts(features / f"{name}.jsonl.gz", cuts)


def write_pairs(folder, sources):
    """Toy speech as mixtures, with sources."""
    for seed, (split, number) in enumerate(SPLITS.items()):
        write_split(folder, split, number, seed)
        for source in sources:
            write_source(folder, source, split)
    SPEC.write(folder / "features" / "spec.json")
    (folder / "recipe.json").write_text(json.dumps({**RECIPE, "target": {"sources": list(sources)}}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("noisy"), ("clean",))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("mixed"), ("source1", "source2"))


def cuts_of(folder, split="dev", sources=("clean",)):
    cuts, spec = load_feature_cuts(folder / "features" / f"{split}.jsonl.gz")
    return with_sources(cuts, spec, folder / "features", split, sources)


def test_mixtures_come_with_their_sources(folder):
    cuts = cuts_of(folder)
    for cut in cuts:
        noisy, clean = load_frames(cut, SPEC), codes_of_sources(cut, SPEC, ("clean",))
        assert clean.shape == (len(noisy), 1, 1)
        assert np.array_equal((noisy + 1) % SIZE, clean[:, 0].numpy())
    lens = torch.tensor([len(load_frames(cut, SPEC)) for cut in cuts])
    batch = WithSources(SPEC, ("clean",))(cuts, {"frame_lens": lens, "cut_ids": [cut.id for cut in cuts]})
    assert batch["sources"].shape == (2, int(lens.max()), 1, 1)
    assert all(
        (row[length:] == SIZE).all() and (row[:length] < SIZE).all() for row, length in zip(batch["sources"], lens)
    )
    first = cuts[0].truncate(offset=0.1, duration=0.2)
    assert torch.equal(codes_of_sources(first, SPEC, ("clean",)), codes_of_sources(cuts[0], SPEC, ("clean",))[5:15])


def test_sources_that_do_not_belong_to_their_mixtures_are_told(folder):
    features = folder / "features"
    cuts, spec = load_feature_cuts(features / "dev.jsonl.gz")
    with pytest.raises(
        FileNotFoundError, match=r"dev-music\.jsonl\.gz, the codes of source 'music' of dev, does not exist"
    ):
        with_sources(cuts, spec, features, "dev", ("music",))
    with pytest.raises(
        ValueError, match=r"cut dev-0: its source 'clean' is missing in .*test-clean\.jsonl\.gz; make the man"
    ):
        with_sources(cuts, spec, features, "test", ("clean",))
    shorter = CutSet.from_cuts(fastcopy(cut, id="dev-0") for cut in [load_cuts(features / "train.jsonl.gz")[3]])
    with pytest.raises(
        ValueError, match=r"cut dev-0: \d+ frames, but its source 'clean' has \d+; both must be equally long"
    ):
        with_sources(shorter, spec, features, "dev", ("clean",))
    other = dataclasses.replace(spec, provenance={"seed": 3})
    with pytest.raises(ValueError, match=r"dev-clean\.jsonl\.gz does not fit the model"):
        with_sources(cuts, other, features, "dev", ("clean",))


def test_outputs_are_put_in_the_order_of_the_sources():
    true = torch.randint(50, (9, 3, 2), generator=torch.Generator().manual_seed(0))
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0], [1, 0, 2]):
        assert torch.equal(in_order(true[:, order], true), true)


@pytest.mark.parametrize("sources", [("clean",), ("source1", "source2")])
def test_some_utterances_are_learnt_by_heart(sources, folder, mixed, tmp_path):
    made = folder if len(sources) == 1 else mixed
    trainer, data = make_trainer(made, tmp_path, train__num_epochs=1, train__average_period=20)
    batch = next(iter(data.valid_batches()))
    before = trainer.system.eval().losses(trainer.system.prepare(batch, trainer.device), 0)
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: [batch] * 40))
    after = trainer.system.eval().losses(trainer.system.prepare(batch, trainer.device), 0)
    assert float(after.total) < 0.3 * float(before.total) and after.finite.all()
    figures = trainer.system.figures([batch])
    assert figures["dev_code_accuracy"] == figures["dev_first_accuracy"] > 90


def test_a_batch_is_what_its_utterances_are_alone(folder, tmp_path):
    trainer, data = make_trainer(folder, tmp_path)
    system, batch = trainer.system.eval(), next(iter(data.valid_batches()))
    mixed = system.prepare(batch, trainer.device)
    whole = system.network.parted(mixed.codes, mixed.lens)
    alone = 0.0
    for row, length in enumerate(mixed.lens.tolist()):
        one = type(mixed)(
            *(value[row : row + 1, :length] for value in (mixed.codes,)),
            mixed.lens[row : row + 1],
            mixed.sources[row : row + 1, :length],
        )
        assert torch.equal(system.network.parted(one.codes, one.lens)[0], whole[row, :length])
        alone += float(system.losses(one, 0).total)
    assert float(system.losses(mixed, 0).total) == pytest.approx(alone, rel=1e-5)


def test_a_killed_training_goes_on_exactly(folder, tmp_path):
    goes_on_exactly(folder, tmp_path)


class Perfect(torch.nn.Module):
    """In place of a network: it knows, and says the sources in the other order."""

    config = SimpleNamespace(num_encoder_frames=lambda frames, spec=None: frames)

    def __init__(self, num_sources):
        super().__init__()
        self.num_sources = num_sources

    def parted(self, codes, lens):
        steps = torch.arange(self.num_sources).flip(0) + 1
        return (codes.unsqueeze(2) + steps[:, None]) % SIZE


class Singer:
    """In place of a tokenizer: it sings codes."""

    def decode(self, codes, lens):
        return torch.from_numpy(sung(codes[0, :, 0].numpy(), 0))[None]


def predicted(folder, exp_dir, sources):
    """What `Perfect` says of the test set, in files."""
    cuts, spec = load_feature_cuts(folder / "features" / "test.jsonl.gz")
    targets = SourceTargets(sources)
    exp_dir.mkdir()
    targets.save(exp_dir)
    files = EnhancementFiles(exp_dir / "enhancement", "epoch-1-avg-1")
    trained = Trained(exp_dir, TrainSettings(), spec, targets, Perfect(len(sources)))
    facts = EnhancementPrediction().predict("test", trained, cuts, NothingToChoose(), RunConfig(device="cpu"), files)
    assert (facts["num_utterances"], facts["num_too_short"]) == (2, 0)
    return files


def test_what_is_found_becomes_audio_and_figures(folder, tmp_path, monkeypatch, capsys):
    files, features = predicted(folder, tmp_path / "exp", ["clean"]), folder / "features"
    monkeypatch.setattr(sounding, "load_experiment_tokenizer", lambda exp_dir, spec: Singer())
    lines = list(sound_split(files, "test", features, Sounder(tmp_path / "exp", SPEC)))
    assert [line.cut_id for line in lines] == ["test-0", "test-1"]
    files.listed("test").write_text("".join("\t".join(line) + "\n" for line in lines))
    write_heard(files.heard("test"), [Heard(line.cut_id, "la", "la") for line in lines])
    write_heard(files.heard_inputs("test"), [Heard(line.cut_id, "la", "la la") for line in lines])
    found = EnhancementPrediction().score("test", files, features, ScoringRules())
    assert {"stoi", "stoi_input", "mel_distance", "mel_distance_input", "si_sdr", "si_sdr_input"} <= found.keys()
    assert (found["dwer"]["rate"], found["dwer_input"]["rate"], found["wer"]["rate"]) == (0.0, 100.0, 0.0)
    assert "input mel distance" in capsys.readouterr().out
    codes, _ = load_feature_cuts(files.said("test"), SPEC)
    assert [load_frames(cut, SPEC).shape[1] for cut in codes] == [1, 1], "a vocoder could say them"


def test_sources_of_a_mixture_keep_their_names(mixed, tmp_path, monkeypatch):
    sources = ["source1", "source2"]
    files = predicted(mixed, tmp_path / "exp", sources)
    monkeypatch.setattr(sounding, "load_experiment_tokenizer", lambda exp_dir, spec: Singer())
    said = []
    monkeypatch.setattr(
        Sounder, "audio", lambda self, codes, cut: said.append(codes) or torch.zeros(len(codes) * FRAME)
    )
    lines = list(sound_split(files, "test", mixed / "features", Sounder(tmp_path / "exp", SPEC)))
    assert [line.cut_id for line in lines] == [f"test-{n}-{source}" for n in (0, 1) for source in sources]
    assert set(files.recordings(mixed / "features", "test")) == set(files.inputs(mixed / "features", "test"))
    assert {line.cut_id for line in lines} == set(files.inputs(mixed / "features", "test"))
    for codes, line in zip(said, lines):
        cuts = load_cuts(mixed / "features" / f"test-{line.cut_id[-7:]}.jsonl.gz")
        assert np.array_equal(load_frames(cuts[line.cut_id[:6]], SPEC), codes.numpy())


def test_tokens_without_a_decoder_ask_for_a_vocoder(folder, tmp_path, monkeypatch):
    def refuse(codes, lens):
        raise ValueError("mfcc_km500 cannot be decoded; it keeps too little of the signal.")

    monkeypatch.setattr(sounding, "load_experiment_tokenizer", lambda exp_dir, spec: SimpleNamespace(decode=refuse))
    cut = load_cuts(folder / "features" / "test-clean.jsonl.gz")[0]
    sounder = Sounder(tmp_path, SPEC)
    with pytest.raises(
        ValueError, match=r"too little of the signal; train a vocoder of these codes .* --vocoder-exp-dir"
    ):
        sounder.audio(torch.zeros(9, 1, dtype=torch.long), cut)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"a frame for 2 frames of codes .*choose front end identity"):
        build_enhancer(from_dict(ModelConfig, {**MODEL, "front_end": {"kind": "conv1d", "stride": 2}}, "x"), SPEC, 1)
    config = from_dict(ModelConfig, MODEL, "x")
    features = FeatureSpec("fbank", "continuous", 16000, 100.0, 0, (), 80)
    with pytest.raises(
        ValueError, match="'fbank' has continuous features, but each frame of a mixture is to get codes"
    ):
        build_enhancer(config, features, 1)
    units = dataclasses.replace(SPEC, frame_rate_hz=10.0, max_frame_rate_hz=50.0)
    with pytest.raises(ValueError, match="has codes of a variable rate"):
        build_enhancer(config, units, 1)
    with pytest.raises(ValueError, match=r"sources are .*expected 1 to 5 names"):
        TargetConfig(())
    with pytest.raises(ValueError, match="section decode chooses a search"):
        EnhancementPrediction().read_settings({"decode": {"beam_size": 4}}, "recipe.json", None)


def test_other_sources_in_a_folder_are_told(tmp_path):
    SourceTargets(["clean"]).save(tmp_path)
    assert SourceTargets.load(tmp_path).means_the_same(SourceTargets(["clean"]))
    with pytest.raises(ValueError, match="has the sources clean, now they are source1, source2; train in another"):
        SourceTargets(["source1", "source2"]).save(tmp_path)
