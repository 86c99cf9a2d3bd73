"""Self-training by its stages: a teacher of few transcripts labels the rest, and a student learns from both."""

import json

import pytest
import synthetic_codes
from toy_corpus import run_stage_script

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_feature_cuts, write_cuts
from icefall_discrete.data.label_share import is_pseudo_labelled, labelled_ids

FRACTION = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus, and in `teacher` a recogniser of half of its transcripts."""
    folder = synthetic_codes.write_corpus(tmp_path_factory.mktemp("self") / "work", num_train=12, num_dev=2)
    run_stage_script("train.py", *_of_training(folder, "teacher"))
    return folder


def _of_training(folder, name):
    return [
        *("--recipe-config", folder / "recipe.json", "--conf-dir", folder, "--feature-dir", folder / "features"),
        *("--lang-dir", folder / "lang", "--exp-dir", folder / name, "--num-epochs", 1, "--device", "cpu"),
        *("--label-fraction", FRACTION, "--try-largest-batches", "false", "--backend", "torch"),
    ]


def label(folder, *flags, output="pseudo.jsonl.gz", check=True):
    return run_stage_script(
        "pseudo_label.py",
        *("--exp-dir", folder / "teacher", "--feature-dir", folder / "features", "--output", folder / output),
        *("--except-labelled", FRACTION, "--device", "cpu", "--blank-penalty", 4.0, "--max-repeats", 0),
        *("--decoding-method", "modified_beam_search", "--avg", 1, *flags),
        check=check,
    )


def test_a_student_learns_from_what_its_teacher_says(folder):
    label(folder)
    cuts, _ = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    true_ids = labelled_ids(cuts, FRACTION)
    pseudo = load_cuts(folder / "pseudo.jsonl.gz")
    report = json.loads((folder / "pseudo.jsonl.gz.json").read_text())
    assert {cut.id for cut in pseudo} == {cut.id for cut in cuts} - true_ids
    assert (report["num_cuts"], report["num_kept"], report["dropped"]) == (6, 6, {})
    for cut in pseudo:
        (said,) = cut.supervisions
        source = said.custom["pseudo_label"]
        assert (
            said.text and source["model"] == "teacher" and source["search"].startswith("modified_beam_search epoch-1")
        )
        assert 0 <= source["word_confidence"] <= source["confidence"] <= 1 and source["score"] < 0
        assert not (cut.custom or {}).get("codes"), "codes are the student's affair"
    assert {"weights_sha256", "commit"} < set(source)
    assert "nothing to do" in label(folder).stderr

    taught = load_cuts(folder / "pseudo.jsonl.gz")
    for cut in taught:  # a teacher of one epoch says more than fits; a better one would have said
        cut.supervisions[0].text = next(one.supervisions[0].text for one in cuts if one.id == cut.id)
    write_cuts(folder / "better.jsonl.gz", taught)
    pseudo_labels = ("--pseudo-labels", folder / "better.jsonl.gz", "--pseudo-share", 0.5)
    said = run_stage_script("train.py", *_of_training(folder, "student"), *pseudo_labels).stderr
    assert "6 training utterances have transcripts, 6 of 6 pseudo-labels are used" in said
    summary = json.loads((folder / "student" / "train.json").read_text())
    hours = sum(cut.duration for cut in cuts if cut.id in true_ids) / 3600
    assert summary["label_hours"] == pytest.approx(hours, abs=1e-4) and summary["pseudo_label_hours"] > 0
    data = json.loads((folder / "student" / "data.json").read_text())
    assert list(data["noted"]["pseudo_labels"]) == [str(folder / "better.jsonl.gz")]


def test_what_cannot_be_labelled_is_said_in_a_sentence(folder, tmp_path):
    nothing = label(folder, "--min-confidence", 1.0, output="none.jsonl.gz", check=False)
    assert (
        nothing.returncode and "no pseudo-label of 6 cuts is left: {'confidence below 1': 6}; lower" in nothing.stderr
    )
    assert not (folder / "none.jsonl.gz").exists()
    everything = label(folder, "--except-labelled", 1.0, output="all.jsonl.gz", check=False)
    assert (
        everything.returncode and "the transcripts of all 12 cuts are used (--except-labelled 1)" in everything.stderr
    )
    other = tmp_path / "features"
    other.mkdir()
    cuts, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    FeatureSpec(**{**spec.__dict__, "name": "others", "codebook_sizes": (17,)}).write(other / "spec.json")
    write_cuts(other / "train.jsonl.gz", cuts)
    strange = label(folder, "--feature-dir", other, output="strange.jsonl.gz", check=False)
    assert strange.returncode and "codebook_sizes" in strange.stderr and "Traceback" not in strange.stderr


def test_nothing_is_decoded_against_pseudo_labels(folder):
    cuts, _ = load_feature_cuts(folder / "features" / "dev.jsonl.gz")
    (folder / "guessed").mkdir(exist_ok=True)
    (folder / "guessed" / "spec.json").write_bytes((folder / "features" / "spec.json").read_bytes())
    pseudo = {cut.id: cut.supervisions for cut in load_cuts(folder / "pseudo.jsonl.gz")}
    train, _ = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    taught = [cut for cut in train if cut.id in pseudo]
    for cut in taught:
        cut.supervisions = pseudo[cut.id]
    write_cuts(folder / "guessed" / "test.jsonl.gz", taught)
    assert all(map(is_pseudo_labelled, taught)) and not any(map(is_pseudo_labelled, cuts))
    done = run_stage_script(
        "decode.py",
        *("--exp-dir", folder / "teacher", "--feature-dir", folder / "guessed", "--splits", "test", "--avg", 1),
        *("--device", "cpu"),
        check=False,
    )
    assert done.returncode and "its text is a pseudo-label, said by teacher, and decoding" in done.stderr
