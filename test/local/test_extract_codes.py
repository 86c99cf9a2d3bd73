import json

import pytest
from toy_corpus import run_stage_script, write_conf, write_manifest

from icefall_discrete.data.cuts import load_cuts


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_manifest(folder / "manifests", "train", 6)
    return folder


def extract(work, *more, feature_type="fbank", out="fbank", check=True):
    return run_stage_script(
        "extract_codes.py",
        *("--feature-type", feature_type, "--cuts", work / "manifests" / "toy_cuts_train.jsonl.gz"),
        *("--split", "train", "--out-dir", work / out, *more),
        check=check,
    )


def test_extract_then_nothing(work):
    extract(work, "--speed-factors", "0.9,1.0,1.1")
    figures = json.loads((work / "fbank" / "extract-train.json").read_text())
    cuts = load_cuts(work / "fbank" / "train.jsonl.gz")
    assert figures["num_cuts"] == len(cuts) == 18
    assert {cut.id[-6:] for cut in cuts if "_sp" in cut.id} >= {"_sp0.9", "_sp1.1"}
    assert cuts[0].features_frames.shape[1] == 80
    before = {path: path.stat().st_mtime_ns for path in (work / "fbank").iterdir()}
    again = extract(work, "--speed-factors", "0.9,1.0,1.1")
    assert "is complete already: nothing to do" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (work / "fbank").iterdir()}


def test_user_mistakes_are_one_sentence(work):
    conf = write_conf(work / "conf")
    cases = {
        "is not fitted": extract(work, "--conf-dir", conf, feature_type="small_km", out="km", check=False),
        "extracted with other": extract(work, "--speed-factors", "1.0", check=False),
        "unknown feature type 'nope'": extract(work, feature_type="nope", check=False),
    }
    for expected, done in cases.items():
        assert done.returncode == 1 and expected in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")
    assert extract(work, "--speed-factors", "fast", check=False).returncode == 2
