"""VoxCeleb1: the list for identification, speakers' and videos' folders, and a corpus that is not whole."""

import functools

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, prepared_cuts, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError

RECIPE = "voxceleb/SID"
SPEAKERS = ("id10001", "id10002", "id11251")


def make_corpus(folder, in_train=2):
    """Videos of each speaker, one utterance a video: the last but one is dev, the last test."""
    every, lines = iter(clips(len(SPEAKERS) * (in_train + 2))), []
    for speaker in SPEAKERS:
        for number in range(in_train + 2):
            path = f"{speaker}/1zcIwhm-eo{number}/0000{number + 1}.wav"
            write_audio(folder / "wav" / path, next(every).samples)
            lines.append(f"{max(1, number - in_train + 2)} {path}")
    write_lines(folder / "iden_split.txt", lines)
    table = [f"{speaker}\tA_Name\t{gender}\tIreland\tdev" for speaker, gender in zip(SPEAKERS, "mfm")]
    write_lines(folder / "vox1_meta.csv", ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet", *table])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("voxceleb") / "corpus")


run = functools.partial(prepared_cuts, "voxceleb", check_counts=False)


def test_the_list_divides_the_speakers_videos(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 6, "dev": 3, "test": 3}
    facts = facts_of(cuts["test"]["id10002-1zcIwhm-eo3-00004"])
    assert (facts["speaker"], facts["gender"], facts["video"]) == ("id10002", "f", "1zcIwhm-eo3")
    assert facts["text"] is None and facts["language"] is None


def test_a_table_of_speakers_need_not_be_there(prepare, copied, tmp_path):
    (copied / "vox1_meta.csv").unlink()
    assert facts_of(next(iter(run(prepare, copied, tmp_path / "data")["test"])))["gender"] is None
    write_lines(copied / "vox1_meta.csv", ["id10001\tx"])
    with pytest.raises(CorpusError, match=r"vox1_meta\.csv: expected columns between tabs, Gender among them"):
        run(prepare, copied, tmp_path / "data")


KNOWN = "1zcIwhm-eo3/00004.wav"


@pytest.mark.parametrize(
    "lines, complaint",
    [
        ([f"4 id10001/{KNOWN}"], r"line 1: expected '<1, 2 or 3> <speaker>/<video>/<number>\.wav', got '4 id10001"),
        (["3 id10001/../../x.wav"], "line 1: expected"),
        ([f"3 id10001/{KNOWN}"], "train: it holds no utterance"),
        ([f"{split} id10001/{KNOWN}" for split in "123"], "is in train and in dev"),
        (
            [f"{split} id10001/x/0000{split}.wav" for split in "123"],
            "the speaker of all 1 utterances is id10001",
        ),
        (
            [f"1 {name}/x/00001.wav" for name in SPEAKERS] + ["2 id10001/x/00002.wav", f"3 id10009/{KNOWN}"],
            "test: train has no utterance whose speaker is id10009",
        ),
        (
            [f"1 {name}/x/00001.wav" for name in SPEAKERS] + ["2 id10001/x/00002.wav", f"3 id10001/{KNOWN}"],
            r"train: 3 of 3 audio files are missing \(.*id10001/x/00001\.wav",
        ),
    ],
)
def test_lists_that_cannot_be_followed(prepare, copied, tmp_path, lines, complaint):
    write_lines(copied / "iden_split.txt", lines)
    with pytest.raises(CorpusError, match=complaint):
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_other_counts_and_a_missing_list_are_refused(prepare, copied, tmp_path):
    with pytest.raises(CorpusError, match=r"train of .*iden_split\.txt has 6 utterances, .* 138361; fetch the list"):
        run(prepare, copied, tmp_path / "data", check_counts=True)
    (copied / "iden_split.txt").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 2 parts \(iden_split\.txt\); unpack"):
        run(prepare, copied, tmp_path / "data")


@pipeline_in("k2")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "voxceleb1", in_train=8)
    flags = ("--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert sorted(result["sets"]["test"]["confusions"]) == list(SPEAKERS)
