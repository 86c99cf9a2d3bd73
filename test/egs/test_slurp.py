"""SLURP: sentences with several recordings, and a corpus that is not whole."""

import functools
import json
import shutil

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, prepared_cuts, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError

RECIPE = "slurp/IC"
SCENARIOS = ("alarm", "music")
SIZES = {"train": 4, "devel": 2, "test": 2, "train_synthetic": 2}


def sentence(scenario, *files):
    recordings = [{"file": file, "wer": 0.0, "status": "correct"} for file in files]
    meant = {"scenario": scenario, "action": "set", "intent": f"{scenario}_set"}
    return {"slurp_id": 1, "sentence": f"set the {scenario}", **meant, "recordings": recordings}


def make_corpus(folder, times=1):
    """Each sentence said twice, into a headset and not."""
    clip = clips(1)[0]
    for name, size in SIZES.items():
        lines, audio = [], "slurp_synth" if name == "train_synthetic" else "slurp_real"
        for number in range(size * times):
            files = [f"audio-{name}{number}-headset.flac", f"audio-{name}{number}.flac"]
            lines.append(json.dumps(sentence(SCENARIOS[number % 2], *files)))
            for file in files:
                write_audio(folder / "audio" / audio / file, clip.samples[: 12000 + 100 * number])
        write_lines(folder / "dataset" / "slurp" / f"{name}.jsonl", lines)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("slurp") / "corpus")


run = functools.partial(prepared_cuts, "slurp")


def test_recordings_get_the_facts_of_their_sentence(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 8, "dev": 4, "test": 4}
    facts = facts_of(cuts["dev"]["audio-devel1-headset"])
    assert (facts["scenario"], facts["action"], facts["intent"]) == ("music", "set", "music_set")
    assert (facts["text"], facts["language"]) == ("set the music", "en")


def test_synthesised_speech_is_for_training_only(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path, synthetic=True)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 12, "dev": 4, "test": 4}


FILE = "audio-test0.flac"


@pytest.mark.parametrize(
    "lines, complaint",
    [
        (["{"], r"test\.jsonl, line 1: .*; get the repository's dataset/slurp"),
        (["[]"], r"line 1: '\[\]' is no object"),
        ([json.dumps({**sentence("alarm", FILE), "scenario": 3})], "'scenario' of the sentence is 3, expected text"),
        ([json.dumps({**sentence("alarm"), "recordings": [{}]})], "a recording has no 'file', expected text"),
        ([json.dumps(sentence("alarm", "../x.flac"))], "it leaves its folder"),
        ([json.dumps(sentence("alarm", "gone.flac"))], r"test: 1 of 1 audio file is missing \(.*gone\.flac\)"),
        ([json.dumps(sentence(name, FILE)) for name in SCENARIOS], "recording audio-test0.flac is of another sentence"),
        ([json.dumps(sentence("takeaway", FILE))], "test: train has no utterance whose scenario is takeaway"),
        ([json.dumps(sentence("alarm", "audio-devel0.flac"))], "utterance audio-devel0 is in dev and in test"),
        ([], "test: it holds no utterance"),
    ],
)
def test_lists_that_cannot_be_followed(prepare, copied, tmp_path, lines, complaint):
    write_lines(copied / "dataset" / "slurp" / "test.jsonl", lines)
    with pytest.raises((CorpusError, ValueError), match=complaint) as caught:
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists() and "\n" not in str(caught.value)


def test_missing_parts_are_named(prepare, copied, tmp_path):
    shutil.rmtree(copied / "audio" / "slurp_synth")
    with pytest.raises(CorpusError, match=r"lacks 1 of 6 parts \(audio/slurp_synth\)"):
        run(prepare, copied, tmp_path / "data", synthetic=True)


@pipeline_in("k2")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "slurp", times=4)
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path)
    assert sorted(result["sets"]["test"]["confusions"]) == list(SCENARIOS)
