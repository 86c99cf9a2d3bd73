"""Noisy sets, their codes and their token stability through the stages, on toy audio."""

import functools
import json

import pytest
from toy_corpus import run_stage_script, write_conf, write_manifest

from icefall_discrete.data.cuts import load_cuts, write_cuts


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy")
    for split, num_cuts, seed in (("train", 8, 0), ("test", 4, 1)):
        write_manifest(folder / "manifests", split, num_cuts, seed)
    return folder


def manifest(work, name):
    return work / "manifests" / f"toy_cuts_{name}.jsonl.gz"


def make_noisy(work, *more, check=True):
    return run_stage_script(
        "make_noisy.py",
        *("--cuts", manifest(work, "test"), "--train-cuts", manifest(work, "train"), "--audio-dir", work / "audio"),
        *more,
        check=check,
    )


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_set_for_each_kind_and_ratio_once(work):
    make_noisy(work, "--snrs", "20 -5", "--kinds", "babble,white", "--nj", 2)
    sets = [f"test-{kind}-snr{ratio}" for kind in ("babble", "white") for ratio in (20, -5)]
    for name in sets:
        cuts = load_cuts(manifest(work, name))
        assert len(cuts) == 4 and {cut.snr_db for cut in cuts} == {float(name.split("snr")[1])}
    before = snapshot(work)
    again = make_noisy(work, "--snrs", "20 -5", "--kinds", "babble,white")
    assert again.stderr.count("is complete already: nothing to do") == 4
    assert snapshot(work) == before
    make_noisy(work, "--snrs", "20 -5 0", "--kinds", "white")
    assert set(before) < set(snapshot(work)) and all(snapshot(work)[path] == time for path, time in before.items())


def test_mistakes_are_one_sentence(work):
    cases = {
        "noise 'recorded' has no cuts": make_noisy(work, "--kinds", "recorded", check=False),
        "nowhere.jsonl.gz: No such file": make_noisy(work, "--noise-cuts", work / "nowhere.jsonl.gz", check=False),
    }
    for expected, done in cases.items():
        assert done.returncode == 1 and expected in done.stderr.splitlines()[-1], done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")


def test_a_cut_without_a_recording_is_named(work, tmp_path):
    cuts = list(load_cuts(manifest(work, "test")))
    cuts[1].recording = None
    path = tmp_path / "toy_cuts_bare.jsonl.gz"
    write_cuts(path, cuts)
    sentence = f"toy_cuts_bare.jsonl.gz: cut {cuts[1].id} has no recording; remake the manifest with recordings."
    folder = ("--audio-dir", tmp_path / "audio")
    noisy = run_stage_script(
        *("make_noisy.py", "--cuts", path, "--train-cuts", manifest(work, "train"), *folder), check=False
    )
    silent = run_stage_script("cut_silence.py", "--cuts", path, *folder, "--output", path, check=False)
    for done in (noisy, silent):
        assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr


def test_codes_of_noisy_sets_are_compared_with_the_clean_ones(work):
    make_noisy(work, "--snrs", "60,0", "--kinds", "white")
    conf, out = write_conf(work / "conf", num_clusters=8), work / "features"
    common = ("--feature-type", "small_km", "--conf-dir", conf, "--out-dir", out)
    run_stage_script("fit_tokenizer.py", *common, "--cuts", manifest(work, "train"), "--train-split", "train")
    for split in ("test", "test-white-snr60", "test-white-snr0"):
        run_stage_script("extract_codes.py", *common, "--cuts", manifest(work, split), "--split", split)
    run_stage_script("token_stability.py", "--feature-dir", out, "--output", work / "stability.json")
    result = json.loads((work / "stability.json").read_text())
    assert (result["feature_type"], result["split"]) == ("small_km", "test")
    sets = result["sets"]
    assert set(sets) == {"test-white-snr60", "test-white-snr0"}
    assert 0 <= sets["test-white-snr60"]["ued"] < sets["test-white-snr0"]["ued"] <= 100
    assert sets["test-white-snr0"]["num_utterances"] == 4
    assert len(sets["test-white-snr0"]["streams"]) == 1

    again = ("token_stability.py", "--feature-dir", out, "--output", work / "b.json", "--noisy-splits")
    refused = run_stage_script(*again, "test-white-snr0, test_white_0", check=False)
    assert "--noisy-splits has 'test_white_0', expected noisy versions of 'test'" in refused.stderr
    assert refused.returncode == 1 and not (work / "b.json").exists()
    refused = run_stage_script(*again[:-1], "--split", "test-white-snr0", check=False)
    assert "has no noisy version of 'test-white-snr0'; make some with make_noisy.py" in refused.stderr
    assert refused.returncode == 1 and not (work / "b.json").exists()


def test_an_experiment_is_borrowed_within_it_or_not_at_all(tmp_path):
    exp_dir, borrow = tmp_path / "exp", functools.partial(run_stage_script, "borrow_experiment.py", check=False)
    refused = borrow("--exp-dir", exp_dir, "--noise-dir", exp_dir / "noise")
    assert f"{exp_dir} is no experiment: there is no such folder" in refused.stderr and not exp_dir.exists()
    exp_dir.mkdir()
    for name in ("config.json", "result.json", ".done-6"):
        (exp_dir / name).write_text("{}")
    refused = borrow("--exp-dir", exp_dir, "--noise-dir", tmp_path / "elsewhere")
    assert f"elsewhere is not in {exp_dir}, expected" in refused.stderr and not (tmp_path / "elsewhere").exists()
    for _ in range(2):
        assert borrow("--exp-dir", exp_dir, "--noise-dir", exp_dir / "noise").returncode == 0
        assert [path.name for path in (exp_dir / "noise").iterdir() if path.resolve().is_file()] == ["config.json"]


def test_continuous_features_have_no_units(work):
    out = work / "fbank"
    run_stage_script(
        *("extract_codes.py", "--feature-type", "fbank", "--cuts", manifest(work, "test"), "--split", "test"),
        *("--out-dir", out),
    )
    done = run_stage_script("token_stability.py", "--feature-dir", out, "--output", work / "fbank.json")
    assert "fbank is continuous: it has no units to compare" in done.stderr
    assert json.loads((work / "fbank.json").read_text())["sets"] == {}
