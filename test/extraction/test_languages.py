"""Codes that depend on the language: stages 2 and 3 take it from the cuts, and refuse cuts without one by name."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from toy_corpus import RATE, make_cuts, run_stage_script

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import language_of, load_cuts, load_frames, write_cuts
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction.check import check_folder
from icefall_discrete.extraction.extract import ExtractionConfig, extract
from icefall_discrete.extraction.fitting import AudioOfCuts, fit_tokenizer
from icefall_discrete.tokenizers import load_tokenizer

pytestmark = pytest.mark.usefixtures("small_batches")
VALUES = {"tokenizer": "fbank_kmeans_by_language", "num_clusters": 5, "num_mel_bins": 20, "fit_memory_mib": 8}
FILES = ("train.codes", "train.jsonl.gz", "spec.json", "codebooks.safetensors")


def speaking(cut, language):
    said = [dataclasses.replace(one, language=language) for one in cut.supervisions]
    return dataclasses.replace(cut, supervisions=said)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    """Twelve cuts, in English and Russian by turns."""
    made = make_cuts(tmp_path_factory.mktemp("audio"))
    return [speaking(cut, ("en", "ru")[index % 2]) for index, cut in enumerate(made)]


@pytest.fixture
def make(tmp_path, cuts):
    """Makes the tokenizer, fitted in `features` below the test's folder."""
    (tmp_path / "spoken.json").write_text(json.dumps(VALUES))
    made = functools.partial(load_tokenizer, "spoken", [tmp_path], tmp_path / "features")
    assert fit_tokenizer(made(), cuts, tmp_path / "features", seed=3)
    return made


def test_codes_are_those_of_the_cuts_language(tmp_path, cuts, make):
    config = ExtractionConfig(speed_factors=(0.9, 1.0))
    extract(cuts, make, tmp_path / "features", "train", config)
    spec = FeatureSpec.read(tmp_path / "features" / "spec.json")
    for cut in load_cuts(tmp_path / "features" / "train.jsonl.gz"):
        samples, codes = load_samples(cut, RATE), load_frames(cut, spec)
        alone = make().in_language(language_of(cut)).encode(samples[None], torch.tensor([len(samples)]))[0][0]
        np.testing.assert_array_equal(codes, alone.numpy())
        first = spec.provenance["first_ids"][language_of(cut)]
        assert first <= codes.min() and codes.max() < first + 5
    (report,) = check_folder(tmp_path / "features", ["train"], "train", ("language",))
    assert report.usage.summary()["fraction_used"] > 0.5


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, cuts, make, monkeypatch):
    reference = tmp_path / "reference"
    extract(cuts, make, reference, "train")
    stored = extraction._Run.enter

    def die(self, encoded):
        if len(self.journal) == 2:
            raise KeyboardInterrupt
        stored(self, encoded)

    monkeypatch.setattr(extraction._Run, "enter", die)
    with pytest.raises(KeyboardInterrupt):
        extract(cuts, make, tmp_path / "killed", "train")
    monkeypatch.setattr(extraction._Run, "enter", stored)
    assert not (tmp_path / "killed" / "train.jsonl.gz").exists()
    extract(cuts, make, tmp_path / "killed", "train")
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (reference / name).read_bytes()


def test_cuts_of_no_language_and_of_another_are_refused_before_anything_is_encoded(tmp_path, cuts, make):
    for language, said in ((None, "that of the audio is not known"), ("de", "no k-means for language 'de', only for")):
        bad = [*cuts[:-1], speaking(cuts[-1], language)]
        with pytest.raises(ValueError, match=rf"cut {cuts[-1].id}: 'spoken' .*{said}"):
            extract(bad, make, tmp_path / "features", "train")
    assert not (tmp_path / "features" / "train.codes").exists()


def test_a_fit_is_of_the_languages_it_was_made_on(tmp_path, cuts, make):
    folder = tmp_path / "features"
    assert not fit_tokenizer(make(), cuts, folder, seed=3)
    with pytest.raises(ValueError, match=r"'spoken' in .* was fitted with other cuts"):
        fit_tokenizer(make(), [speaking(cut, "en") for cut in cuts], folder, seed=3)
    with pytest.raises(ValueError, match=f"cut {cuts[0].id}: its language is not known"):
        AudioOfCuts([speaking(cuts[0], None)], RATE).by_language()


def test_unreadable_audio_is_counted_over_all_languages(tmp_path, cuts):
    lost = make_cuts(tmp_path / "audio", 4)
    lost = [speaking(cut, ("en", "ru")[index % 2]) for index, cut in enumerate(lost)]
    for cut in lost[:2]:
        (tmp_path / "audio" / f"{cut.id}.wav").unlink()
    seen = []
    audio = AudioOfCuts(lost, RATE, 2, lambda unreadable: seen.append(sorted(unreadable)))
    assert [len(list(part)) for part in audio.by_language().values()] == [1, 1]
    assert seen[-1] == sorted(audio.unreadable) == [lost[0].id, lost[1].id]
    with pytest.raises(ValueError, match=r"2 of 4 cuts cannot be read"):
        [list(part) for part in AudioOfCuts(lost, RATE, 1).by_language().values()]


def test_stages_say_it_in_one_sentence(tmp_path, cuts):
    (tmp_path / "spoken.json").write_text(json.dumps(VALUES))
    kind = ("--feature-type", tmp_path / "spoken.json", "--out-dir", tmp_path / "features")
    write_cuts(tmp_path / "toy_cuts_train.jsonl.gz", [speaking(cut, None) for cut in cuts])
    said = run_stage_script("fit_tokenizer.py", *kind, "--cuts", tmp_path / "toy_cuts_train.jsonl.gz", check=False)
    assert said.returncode != 0 and "its language is not known" in said.stderr and "Traceback" not in said.stderr
