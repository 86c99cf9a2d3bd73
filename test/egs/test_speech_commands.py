"""Speech Commands: a folder a word, the official lists, and a corpus that is not whole."""

import functools

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, prepared_cuts, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError

RECIPE = "speech_commands/KWS"
WORDS = ("backward", "bed", "yes")


def make_corpus(folder, in_train=2):
    """Speakers aa, ab ... say each word once: the last two in dev and test. And background noise."""
    speakers = [f"a{letter}" for letter in "abcdefghijklmnop"[: in_train + 2]]
    every, lists = iter(clips(len(speakers) * len(WORDS) + 1)), {speakers[-2]: [], speakers[-1]: []}
    for word in WORDS:
        for speaker in speakers:
            path = f"{word}/{speaker}_nohash_0.wav"
            write_audio(folder / path, next(every).samples[:16000])
            lists.setdefault(speaker, []).append(path)
    write_audio(folder / "_background_noise_" / "running_tap.wav", next(every).samples)
    write_lines(folder / "validation_list.txt", lists[speakers[-2]])
    write_lines(folder / "testing_list.txt", lists[speakers[-1]])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("speech_commands") / "corpus")


run = functools.partial(prepared_cuts, "speech_commands", check_counts=False)


def test_lists_divide_the_words(prepare, whole, tmp_path, caplog):
    caplog.set_level("INFO")
    cuts = run(prepare, whole, tmp_path)
    assert [cut.id for cut in cuts["dev"]] == [f"{word}_ac_nohash_0" for word in WORDS]
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 6, "dev": 3, "test": 3}
    facts = facts_of(cuts["test"]["yes_ad_nohash_0"])
    assert (facts["keyword"], facts["text"], facts["speaker"], facts["language"]) == ("yes", "yes", "ad", "en")
    assert "left out, no words: 1 files of _background_noise_" in caplog.text
    assert "keyword: 3 classes; train has 2 to 2 utterances of each" in caplog.text


@pytest.mark.parametrize(
    "lines, complaint",
    [
        (["yes/ad_nohash_0.wav", "no_slash.wav"], r"testing_list\.txt, line 2: expected <word>/<file>\.wav, got"),
        (["yes/../../ad_nohash_0.wav"], "it leaves its folder"),
        (["yes/zz_nohash_0.wav"], r"test: 1 of 1 audio file is missing \(.*yes/zz_nohash_0\.wav\); unpack"),
        (["no/zz_nohash_0.wav"], "test: train has no utterance whose keyword is no, as that of no_zz_nohash_0 is"),
        (["yes/ac_nohash_0.wav"], "utterance yes_ac_nohash_0 is in dev and in test"),
        ([], "test: it holds no utterance"),
    ],
)
def test_lists_that_cannot_be_followed(prepare, copied, tmp_path, lines, complaint):
    write_lines(copied / "testing_list.txt", lines)
    with pytest.raises((CorpusError, ValueError), match=complaint):
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_other_counts_and_missing_lists_are_refused(prepare, copied, tmp_path):
    with pytest.raises(CorpusError, match=r"train has 6 utterances, .* has 84843; is it release 0\.02"):
        run(prepare, copied, tmp_path / "data", check_counts=True)
    (copied / "validation_list.txt").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 2 parts \(validation_list\.txt\); unpack"):
        run(prepare, copied, tmp_path / "data")


@pipeline_in("k2")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "speech_commands_v0.02", in_train=10)
    flags = ("--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert sorted(result["sets"]["test"]["confusions"]) == list(WORDS)
