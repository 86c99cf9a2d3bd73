"""Training on two languages: the token is learnt, sampling by temperature resumes exactly, other settings stay as they
were."""

import dataclasses
import json

import pytest
import torch
from synthetic_codes import BY_HEART, SPEC, make_trainer, write_corpus

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.greedy import greedy_search
from icefall_discrete.metrics.language_id import identification
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.assembly import filtered_corpus
from icefall_discrete.text.pieces import TextEncoder

MOSTLY_AA = ("aa", "aa", "aa", "bb")


@pytest.fixture(scope="module")
def languages_dir(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("languages") / "corpus", languages=MOSTLY_AA, num_train=16, num_dev=16)


def test_the_token_is_learnt_by_heart_and_identifies_the_language(languages_dir, tmp_path):
    trainer, data = make_trainer(
        languages_dir,
        tmp_path,
        **BY_HEART,
        train__try_largest_batches=False,
        loader__max_duration=60.0,
    )
    (batch,) = data.valid_batches()
    spoken = list(enumerate(batch["languages"]))  # longest first, so that the last are the shortest
    chosen = [i for i, language in spoken if language == "aa"][-1:]
    chosen += [i for i, language in spoken if language == "bb"][-2:]
    some = {
        key: value[chosen] if torch.is_tensor(value) else [value[i] for i in chosen] for key, value in batch.items()
    }
    assert some["languages"] == ["aa", "bb", "bb"]
    trainer.fit(
        dataclasses.replace(data, train_batches=lambda epoch, start: [some] * 180, valid_batches=lambda: [some])
    )
    given = trainer.system.prepare(some, trainer.device)
    encoder = TextEncoder(languages_dir / "lang" / "bpe.model")
    model = trainer.model.eval()
    with torch.no_grad():
        encoded = model.encode(given.frames, given.frame_lens)
    found = [one.labels for one in greedy_search(model, encoded.encoder_out, encoded.lens, max_sym_per_frame=3)]
    assert [labels[0] for labels in found] == [encoder.language_tokens[language] for language in some["languages"]]
    assert [encoder.decode(labels) for labels in found] == some["text"]
    said = [encoder.language_of(labels) for labels in found]
    assert identification(zip(some["languages"], said)).rate == 100.0


class Killed(Exception):
    pass


def killed_after(data, num_batches):
    def train_batches(epoch, start):
        for index, batch in enumerate(data.train_batches(epoch, start)):
            if epoch == 2 and index == num_batches:
                raise Killed
            yield batch

    return dataclasses.replace(data, train_batches=train_batches)


def test_a_killed_run_with_temperature_goes_on_as_if_it_had_not_been(languages_dir, tmp_path):
    changes = {"loader__language_temperature": 5.0, "train__save_every_n": 1, "train__decode_interval": 1}
    trainer, data = make_trainer(languages_dir, tmp_path / "whole", **changes)
    whole = trainer.fit(data)
    trainer, data = make_trainer(languages_dir, tmp_path / "killed", **changes)
    with pytest.raises(Killed):
        trainer.fit(killed_after(data, 1))
    trainer, data = make_trainer(languages_dir, tmp_path / "killed", **changes)
    resumed = trainer.fit(data)
    assert [record["train"] for record in resumed["epochs"]] == [record["train"] for record in whole["epochs"]]
    left, right = (load_checkpoint(tmp_path / name / "epoch-2.pt") for name in ("whole", "killed"))
    assert left["step"] == right["step"] and all(
        torch.equal(left["model"][k], right["model"][k]) for k in left["model"]
    )
    for record in whole["epochs"]:
        drawn = {"aa": 0.0, "bb": 0.0}
        for batch in data.train_batches(record["epoch"], 0):
            for language, seconds in zip(batch["languages"], batch["duration_sec"].tolist()):
                drawn[language] += seconds / 3600
        assert record["drawn_hours"] == pytest.approx(drawn) and drawn["bb"] > 0.4 * drawn["aa"]
        assert record["audio_sec"] == pytest.approx(3600 * sum(record["drawn_hours"].values()), rel=1e-4)
        assert 0.0 <= record["dev_language_accuracy"] <= 100.0
    assert json.loads((tmp_path / "killed" / "train.json").read_text())["epochs"][1]["drawn_hours"]


def test_without_these_settings_nothing_is_said_about_languages(corpus_dir, tmp_path):
    trainer, data = make_trainer(corpus_dir, tmp_path, train__num_epochs=1, train__decode_interval=1)
    (record,) = trainer.fit(data)["epochs"]
    assert not {"drawn_hours", "dev_language_accuracy"} & set(record) and "dev_wer" in record


def test_settings_of_earlier_experiments_are_read(corpus_dir):
    settings = TrainSettings.from_dict({"loader": {"max_duration": 8.0}, "filter": {"max_utterance_sec": 9.0}}, "old")
    assert settings.loader.language_temperature == 1.0 and settings.filter.languages == ()
    assert TrainSettings.from_dict(settings.to_dict(), "new") == settings


def test_only_the_chosen_language_is_trained_and_validated_on(languages_dir, tmp_path):
    _, data = make_trainer(languages_dir, tmp_path, filter__languages=["bb"])
    for batches in (data.train_batches(1, 0), data.valid_batches()):
        assert {language for batch in batches for language in batch["languages"]} == {"bb"}


def test_a_cut_whose_language_has_no_token_is_named_before_training(languages_dir, corpus_dir):
    settings = TrainSettings.from_dict({}, "test")
    train, _ = load_feature_cuts(corpus_dir / "features" / "train.jsonl.gz")
    encoder = TextEncoder(languages_dir / "lang" / "bpe.model")
    with pytest.raises(ValueError, match=r"cut train-0: its language is None, but the pieces were made for aa, bb"):
        filtered_corpus(settings, SPEC, train, train, PieceTargets(encoder))
