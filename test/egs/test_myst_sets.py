"""Further test sets of egs/myst: CMU Kids and folders of others, and what is refused."""

import shutil

import pytest
from recipe_checks import load_local, run_sh
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError


@pytest.fixture(scope="module")
def stage():
    return load_local("myst", "prepare_sets")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A stand-in of CMU Kids, with files that are converted, and a folder of two sets."""
    folder = tmp_path_factory.mktemp("sets")
    samples = clips(1)[0].samples
    names = ["fabm2aa1", "fabm2ab2", "mwmw2aa1"]
    for name in names:
        write_audio(folder / "cmu_kids" / "kids" / name[:4] / "signal" / f"{name}.wav", samples)
    write_lines(folder / "cmu_kids" / "tables" / "sentence.tbl", ["2aa\t2\tThe sun is hot.", "2ab\t1\tShe had 3 eggs!"])
    write_lines(folder / "cmu_kids" / "tables" / "transcrp.tbl", [f"{name} THE SUN /H AA/ HOT" for name in names])
    for name in ("read", "spontaneous"):
        write_audio(folder / "children" / name / "some" / f"{name}-1.wav", samples)
        write_audio(folder / "children" / name / f"{name}-2.flac", samples)
        write_lines(folder / "children" / name / "text", [f"{name}-1 Well, +um+ THE sun", f"{name}-2 <NOISE>"])
    return folder


@pytest.fixture
def sets(made, tmp_path):
    return shutil.copytree(made, tmp_path / "sets")


def run(stage, data_dir, **folders):
    stage.prepare(stage.SetsConfig(data_dir=str(data_dir), nj=1, **{key: str(path) for key, path in folders.items()}))
    manifests = sorted((data_dir / "manifests").glob("*_cuts_*"))
    return {path.name.split(".")[0][len("myst_cuts_") :]: load_cuts(path) for path in manifests}


def test_each_set_becomes_a_split(stage, made, tmp_path):
    found = run(stage, tmp_path, cmu_kids=made / "cmu_kids", test_sets=made / "children")
    assert {name: len(cuts) for name, cuts in found.items()} == {"cmu_kids": 3, "read": 1, "spontaneous": 1}
    said = {cut.id: (cut.supervisions[0].text, cut.supervisions[0].speaker) for cut in found["cmu_kids"]}
    assert said["fabm2ab2"] == ("she had three eggs", "fabm") and said["mwmw2aa1"] == ("the sun is hot", "mwmw")
    assert [cut.supervisions[0].text for cut in found["read"]] == ["well the sun"]


def test_without_sets_nothing_is_made(stage, tmp_path):
    assert run(stage, tmp_path) == {} and list(tmp_path.iterdir()) == []


def _without_sentence(sets):
    write_lines(sets / "cmu_kids" / "tables" / "sentence.tbl", ["2aa\t2\tThe sun is hot."])


def _without_audio(sets):
    next((sets / "cmu_kids" / "kids").rglob("fabm2ab2.wav")).unlink()


def _called_test(sets):
    (sets / "children" / "read").rename(sets / "children" / "test")


def _without_list(sets):
    (sets / "children" / "read" / "text").unlink()


def _with_an_empty_list(sets):
    write_lines(sets / "children" / "read" / "text", [])


def _without_sets(sets):
    shutil.rmtree(sets / "children")
    (sets / "children").mkdir()


@pytest.mark.parametrize(
    "change, complaint",
    [
        (_without_sentence, r"utterance fabm2ab2 names no sentence of tables/sentence\.tbl"),
        (_without_audio, r"1 transcript has no audio \(fabm2ab2\)"),
        (_called_test, r"a test set cannot be called 'test'; call the folder otherwise"),
        (_without_list, r"children.read lacks 1 of 1 parts \(text\)"),
        (_with_an_empty_list, r"read.text holds no transcript"),
        (_without_sets, r"children holds no folder; put one there for each test set"),
    ],
)
def test_what_is_not_whole_is_refused_and_nothing_is_written(stage, sets, tmp_path, change, complaint):
    change(sets)
    with pytest.raises(CorpusError, match=complaint):
        run(stage, tmp_path / "data", cmu_kids=sets / "cmu_kids", test_sets=sets / "children")
    assert not (tmp_path / "data").exists()


def test_run_sh_knows_the_sets_by_their_folders(made, tmp_path):
    flags = ("--dry-run", "true", "--data-dir", tmp_path, "--cmu-kids", made / "cmu_kids")
    done = run_sh("myst", *flags, "--test-sets", made / "children")
    assert done.returncode == 0, done.stdout
    assert "--splits dev,test,cmu_kids,read,spontaneous" in done.stdout
    assert f"--test-sets {made}/children" in done.stdout
    none = run_sh("myst", *flags, "--test-sets", made / "cmu_kids" / "tables")
    assert "--test-sets must be a folder with a folder for each test set" in none.stdout and none.returncode != 0
