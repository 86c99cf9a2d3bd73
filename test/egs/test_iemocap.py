"""IEMOCAP: judgements of sessions on disk, four emotions, and a corpus that is not whole."""

import functools
import shutil

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, prepared_cuts, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError

RECIPE = "iemocap/ER"
EMOTIONS = ("neu", "ang", "sad", "exc", "hap", "fru", "xxx")


def make_corpus(folder, times=1):
    """A dialogue a session, in which both speakers show each emotion."""
    every = iter(clips(1) * (5 * 2 * times * len(EMOTIONS)))
    for session in range(1, 6):
        name, judged, said = f"Ses{session:02d}F_impro01", ["% [START_TIME - END_TIME] ..."], []
        for number, emotion in enumerate(EMOTIONS * times):
            for speaker in "FM":
                utterance = f"{name}_{speaker}{number:03d}"
                judged += [f"[6.2901 - 8.2357]\t{utterance}\t{emotion}\t[2.5000, 2.5000, 2.5000]"]
                judged += ["C-E2:\tNeutral;\t()", "A-F1:\tval 3; act 2; dom  2;\t()"]
                said += [f"{utterance} [006.2901-008.2357]: Excuse me."]
                write_audio(
                    folder / f"Session{session}/sentences/wav/{name}/{utterance}.wav", next(every).samples[:12000]
                )
        write_lines(folder / f"Session{session}/dialog/EmoEvaluation/{name}.txt", judged)
        write_lines(folder / f"Session{session}/dialog/EmoEvaluation/._{name}.txt", ["[of a Mac"])
        write_lines(folder / f"Session{session}/dialog/transcriptions/{name}.txt", [*said, "F: (NOISE)"])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("iemocap") / "corpus")


run = functools.partial(prepared_cuts, "iemocap")


def test_sessions_divide_the_emotions(prepare, whole, tmp_path, caplog):
    caplog.set_level("INFO")
    cuts = run(prepare, whole, tmp_path)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 30, "dev": 10, "test": 10}
    assert {cut.supervisions[0].speaker for cut in cuts["test"]} == {"Ses05F", "Ses05M"}
    facts = facts_of(cuts["dev"]["Ses04F_impro01_M003"])
    assert (facts["emotion"], facts["gender"], facts["text"]) == ("happy", "M", "Excuse me.")
    assert "left out, emotion fru: 10" in caplog.text and "left out, emotion xxx: 10" in caplog.text
    assert "emotion: 4 classes; train has 6 to 12 utterances of each" in caplog.text


def test_another_session_is_tested(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path, test_session=1, dev_session=2)
    assert {cut.supervisions[0].custom["session"] for cut in cuts["train"]} == {"3", "4", "5"}
    assert {cut.supervisions[0].custom["session"] for cut in cuts["test"]} == {"1"}
    with pytest.raises(CorpusError, match="session 3 cannot be both test and dev"):
        run(prepare, whole, tmp_path, test_session=3, dev_session=3)


JUDGED = "[1.0 - 2.0]\tSes05F_impro01_F000\t{}\t[1, 1, 1]"


@pytest.mark.parametrize(
    "lines, complaint",
    [
        (["[6.2901 - 8.2357] Ses05F neu"], r"Ses05F_impro01\.txt, line 1: expected \[begin - end\], utterance"),
        ([JUDGED.format("fru")], "test: it holds no utterance"),
        ([JUDGED.replace("F000", "F099").format("neu")], r"test: 1 of 1 audio file is missing .*F099\.wav"),
    ],
)
def test_judgements_that_cannot_be_followed(prepare, copied, tmp_path, lines, complaint):
    write_lines(copied / "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt", lines)
    with pytest.raises(CorpusError, match=complaint):
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_missing_session_is_named(prepare, copied, tmp_path):
    shutil.rmtree(copied / "Session3" / "sentences")
    with pytest.raises(CorpusError, match=r"lacks 1 of 15 parts \(Session3/sentences/wav\); unpack"):
        run(prepare, copied, tmp_path / "data")


@pipeline_in("portable")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "IEMOCAP_full_release", times=2)
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path)
    assert sorted(result["sets"]["test"]["confusions"]) == ["angry", "happy", "neutral", "sad"]
