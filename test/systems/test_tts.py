"""Texts to units: symbols and their durations, training through the loop, exact resume, synthesis, what it refuses."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic_codes import goes_on_exactly, make_trainer
from toy_texts import LANGUAGES, RECIPE, SPEAKERS, SPEC, codes_of, frames_of, write_texts

from icefall_discrete import CONF_DIR
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_feature_cuts, load_frames
from icefall_discrete.data.filters import FilterConfig, filter_cuts
from icefall_discrete.data.targets.contract import LeftOut
from icefall_discrete.data.targets.spoken_text import SpokenTextTargets, SymbolTable
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.nn.length_regulator import places_of
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.prediction import RunConfig, Trained
from icefall_discrete.systems.tts.files import SynthesisFiles
from icefall_discrete.systems.tts.network import ModelConfig, build_text_to_units
from icefall_discrete.systems.tts.prediction import TtsPrediction
from icefall_discrete.systems.tts.scoring import score_synthesis
from icefall_discrete.systems.tts.settings import TrainSettings
from icefall_discrete.systems.tts.stages import alignments_in
from icefall_discrete.systems.tts.synthesis import SynthesisConfig, rounded_durations, units_of
from icefall_discrete.text.symbols import BEGIN, END


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


def targets_of(folder, front="letters"):
    cuts, _ = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    return SpokenTextTargets.from_cuts(front, "speaker", cuts, alignments_in(folder / "lang"))


@pytest.fixture(scope="module")
def learnt(folder, tmp_path_factory):
    """A trainer that has learnt the toy texts by heart."""
    trainer, data = make_trainer(folder, tmp_path_factory.mktemp("exp"), train__num_epochs=1, train__average_period=50)
    batches = list(data.train_batches(1, 0))
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: batches * 30))
    trainer.system.eval()
    return trainer, data


def test_a_batch_holds_symbols_whose_durations_are_the_codes(folder, tmp_path):
    trainer, data = make_trainer(folder, tmp_path)
    for batch in [*data.train_batches(1, 0), *data.valid_batches()]:
        prepared = trainer.system.prepare(batch, trainer.device)
        assert prepared.durations.sum(dim=1).tolist() == batch["frame_lens"].tolist()
        for row, length, text in zip(prepared.durations, prepared.lens.tolist(), batch["text"]):
            assert row[:length].tolist() == [frames_of(symbol) for symbol in f" {text} "]
        assert set(prepared.voices.tolist()) <= {1, 2} and set(prepared.languages.tolist()) <= {1, 2}


def test_an_utterance_of_a_batch_is_that_utterance_alone(folder, tmp_path):
    trainer, data = make_trainer(folder, tmp_path)
    system, batch = trainer.system.eval(), next(iter(data.valid_batches()))
    prepared = system.prepare(batch, trainer.device)
    assert len(set(prepared.lens.tolist())) > 1 or len(set(batch["frame_lens"].tolist())) > 1
    with torch.no_grad():
        encoded = system.network.encode(prepared.symbols, prepared.lens, prepared.voices, prepared.languages)
        together = system.network.frames(encoded, places_of(prepared.durations))
        told = system.network.log_durations(encoded, prepared.lens)
        for row, (length, size) in enumerate(zip(prepared.lens.tolist(), batch["frame_lens"].tolist())):
            mine = [one[row : row + 1] for one in prepared]
            alone = system.network.encode(mine[0][:, :length], mine[1], mine[3], mine[4])
            frames = system.network.frames(alone, places_of(mine[2][:, :length]))
            torch.testing.assert_close(together[row, :size], frames[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(told[row, :length], system.network.log_durations(alone, mine[1])[0])


def test_padding_takes_no_part_in_the_loss(folder, tmp_path):
    trainer, data = make_trainer(folder, tmp_path)
    system, batch = trainer.system.eval(), next(iter(data.valid_batches()))
    whole = system.losses(system.prepare(batch, trainer.device), 0)
    filler = torch.tensor(SPEC.pad_ids).expand(len(batch["codes"]), 4, 2)
    longer = {**batch, "codes": torch.cat([batch["codes"], filler], dim=1)}
    for name in ("symbols", "durations"):
        longer[name] = torch.nn.functional.pad(batch[name], (0, 3))
    padded = system.losses(system.prepare(longer, trainer.device), 0)
    torch.testing.assert_close(float(whole.mean), float(padded.mean))
    assert int(whole.frames) == int(batch["frame_lens"].sum()) and set(whole.parts) == {"units", "duration"}


def test_some_texts_are_learnt_by_heart(learnt):
    trainer, data = learnt
    figures = trainer.system.figures(data.valid_batches())
    assert figures["dev_unit_accuracy"] > 95 and figures["dev_duration_error"] < 12  # texts that it never saw
    for speaker, language in ((0, 0), (1, 0), (0, 1)):
        spoken = trainer.system.targets.said("abc de", SPEAKERS[speaker], LANGUAGES[language])
        units = units_of(trainer.system.network, spoken, SynthesisConfig()).numpy()
        wanted = codes_of("abc de", speaker, language)
        assert abs(len(units) - len(wanted)) <= 3
        kinds = set(map(tuple, wanted.tolist()))
        assert np.mean([tuple(one) in kinds for one in units.tolist()]) > 0.8
        assert set(wanted[:, 0]) <= set(units[:, 0])
    slow = units_of(trainer.system.network, spoken, SynthesisConfig(speech_rate=0.5))
    assert len(slow) == pytest.approx(2 * len(units), abs=2)


def test_a_killed_training_goes_on_exactly(folder, tmp_path):
    goes_on_exactly(folder, tmp_path, target__voice_dropout=0.3, train__num_epochs=2)


def test_a_split_is_said_and_measured(learnt, folder, tmp_path):
    trainer, _ = learnt
    cuts, spec = load_feature_cuts(folder / "features" / "test.jsonl.gz")
    files = SynthesisFiles(tmp_path, "x")
    trained = Trained(tmp_path, None, spec, trainer.system.targets, trainer.system.network)
    facts = TtsPrediction().predict("test", trained, cuts, SynthesisConfig(), RunConfig(), files)
    assert (facts["num_utterances"], facts["num_unsayable"]) == (2, 0)
    said, _ = load_feature_cuts(files.said("test"), spec)
    for one, cut in zip(said, sorted(cuts, key=lambda cut: cut.id)):
        assert one.id == cut.id and abs(len(load_frames(one, spec)) - len(load_frames(cut, spec))) <= 3
        assert one.supervisions[0].speaker == cut.supervisions[0].speaker
    scored = score_synthesis("test", files, folder / "features", ScoringRules())
    assert scored["unit_edits"]["rate"] < 10 and scored["length_error"]["value"] < 10
    assert set(scored["languages"]) == {"en"} and not files.page("test").exists()


def test_what_cannot_be_said_is_refused_in_a_sentence(learnt):
    trainer, _ = learnt
    targets, network = trainer.system.targets, trainer.system.network
    for text, sentence in {
        "": "nothing of the text can be said: it is empty",
        " \n": "nothing of the text can be said: it is empty",
        " ?! ": r"nothing of the text can be said: '\?!' has no letter",
        "abz": r"'z' \(U\+007A\) has no entry among the letters of the training texts \(a b c d e\)",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            targets.said(text, "anna", "en")
    assert targets.said("ABC", "", "en").symbols == targets.said("abc", "", "en").symbols
    with pytest.raises(ValueError, match="unknown speaker 'ana'; did you mean anna"):
        targets.said("abc", "ana", "en")
    with pytest.raises(ValueError, match="unknown language 'de'"):
        targets.said("abc", "anna", "de")
    with pytest.raises(ValueError, match="the language of the text is not known; say which it is: en, fr"):
        targets.said("abc", "anna", "")
    with pytest.raises(ValueError, match=r"the text has 7 symbols, expected at most 6 .*divide it at the ends"):
        units_of(network, targets.said("abcde", "", "en"), SynthesisConfig(longest_text=6))


def test_a_text_whose_marks_are_apart_is_said_as_it_was_learnt(folder):
    targets = targets_of(folder)
    table = SymbolTable("letters", {BEGIN: 1, END: 1, "\u00e9": 2, "a": 1})
    every = SpokenTextTargets(table, targets.voices, targets.languages, {})
    assert every.said("ae\u0301", "anna", "en") == every.said("a\u00e9", "anna", "en")
    with pytest.raises(ValueError, match=r"'e' \(U\+0065\) has no entry"):
        every.said("ae", "anna", "en")


def test_only_codes_of_a_constant_rate_are_made():
    config = ModelConfig()
    for spec, sentence in (
        (FeatureSpec("mels", "continuous", 8000, 50.0, 0, (), 3), "'mels' are continuous features"),
        (dataclasses.replace(SPEC, name="rm", max_frame_rate_hz=50.0, frame_rate_hz=10.0), "'rm' has a variable rate"),
    ):
        with pytest.raises(ValueError, match=sentence):
            build_text_to_units(config, spec, 3, 2, 2)
    with pytest.raises(ValueError, match="text_encoder gives one frame for 2, expected one for each"):
        TrainSettings.from_dict({"model": {"text_encoder": "zipformer"}}, "x")


def test_cuts_without_an_alignment_are_counted_and_left_out(folder, caplog):
    targets = targets_of(folder)
    cuts, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    every = list(cuts)
    every[0].id, every[1].supervisions[0].text = "stranger", "abc abd"
    every[2].supervisions[0].text = every[2].supervisions[0].text.upper()  # spelled alike but for case
    with caplog.at_level("INFO"):
        kept = filter_cuts(every, FilterConfig(), spec, lambda frames: frames, targets.frames_needed)
    assert kept.dropped == {"no alignment": 1, "alignment of another text": 1} and len(kept.cuts) == len(every) - 2
    with pytest.raises(LeftOut, match="no alignment"):
        targets.frames_needed(every[0])
    with pytest.raises(ValueError, match="none of the training cuts has an alignment"):
        SpokenTextTargets.from_cuts("letters", "speaker", every, {})
    with pytest.raises(ValueError, match=r"holds no alignments \(\*\.ctm\)"):
        alignments_in(folder)


def test_targets_come_back_and_other_alignments_are_refused(folder, tmp_path):
    targets = targets_of(folder)
    targets.save(tmp_path)
    back = SpokenTextTargets.load(tmp_path)
    assert back.means_the_same(targets) and back.said("ab", "otto", "fr") == targets.said("ab", "otto", "fr")
    back.save(tmp_path)
    other = SpokenTextTargets(targets.symbols, targets.voices, targets.languages, {})
    with pytest.raises(ValueError, match="is of other alignments than those of now"):
        other.save(tmp_path)
    with pytest.raises(ValueError, match="which holds no alignments to train on"):
        back.frames_needed(next(iter(load_feature_cuts(folder / "features" / "train.jsonl.gz")[0])))


def test_rounding_keeps_the_length_of_the_whole():
    durations = torch.full((40,), 0.4)
    assert int(rounded_durations(durations).sum()) == 16
    assert rounded_durations(torch.tensor([0.0, -0.3, 0.1])).tolist() == [0, 0, 1]
    places = places_of(torch.tensor([[2, 0, 1], [1, 0, 0]]))
    assert places.symbols[0].tolist() == [0, 0, 2] and places.lens.tolist() == [3, 1]
    assert places.facts[1, 1:].abs().sum() == 0
    np.testing.assert_allclose(places.facts[0, :, 0], [0.25, 0.75, 0.5])


def test_the_recipe_builds():
    path = CONF_DIR / "recipes" / "tts.json"
    settings = read_settings(path, None, [], SimpleNamespace())
    assert TrainSettings.from_dict(settings.to_dict(), str(path)) == settings
    assert system_stages("tts").settings is TrainSettings and RECIPE["system"] == TrainSettings.system
    network = build_text_to_units(settings.model, FeatureSpec("a", "codes", 16000, 50.0, 1, (500,), 0), 40, 6, 6)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(2.3, rel=0.1)
