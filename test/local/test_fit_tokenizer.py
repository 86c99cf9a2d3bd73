import json

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file
from toy_corpus import RATE, run_stage_script, write_conf, write_manifest


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    for seed, split in enumerate(("train", "test")):
        write_manifest(folder / "manifests", split, 6, seed)
    write_conf(folder / "conf")
    return folder


def flags(work, split="train", feature_type="small_km", out="features"):
    return (
        *("--feature-type", feature_type, "--conf-dir", work / "conf"),
        *("--cuts", work / "manifests" / f"toy_cuts_{split}.jsonl.gz", "--out-dir", work / out),
    )


def test_fit_then_nothing_then_refuse_another_seed(work):
    run_stage_script("fit_tokenizer.py", *flags(work))
    path = work / "features" / "kmeans.safetensors"
    before = path.read_bytes()
    assert load_file(path)["centroids"].shape == (8, 20)
    again = run_stage_script("fit_tokenizer.py", *flags(work))
    assert "is fitted already" in again.stderr and path.read_bytes() == before
    other = run_stage_script("fit_tokenizer.py", *flags(work), "--seed", 1, check=False)
    assert other.returncode == 1 and "was fitted with other seed" in other.stderr and "Traceback" not in other.stderr
    run_stage_script("fit_tokenizer.py", *flags(work, out="again"))
    assert (work / "again" / "kmeans.safetensors").read_bytes() == before


def test_several_processes_give_the_frames_of_one(work, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run_stage_script("fit_tokenizer.py", *flags(work, out="alone"))
    done = run_stage_script("fit_tokenizer.py", *flags(work, out="shared"), "--nj", 2)
    files = [load_file(work / out / "kmeans.safetensors") for out in ("alone", "shared")]
    for name, values in files[0].items():
        np.testing.assert_allclose(values, files[1][name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert "of 6 cuts" in done.stderr
    facts = [json.loads((work / out / "fit.json").read_text()) for out in ("alone", "shared")]
    assert facts[0] == facts[1]


def test_data_that_is_not_for_training_is_refused(work):
    done = run_stage_script("fit_tokenizer.py", *flags(work, "test", out="x"), check=False)
    assert done.returncode == 1 and not (work / "x").exists()
    assert "toy_cuts_test.jsonl.gz is not the training split 'train'" in done.stderr.splitlines()[-1]
    run_stage_script("fit_tokenizer.py", *flags(work, "test", out="y"), "--train-split", "te")
    assert (work / "y" / "kmeans.safetensors").exists()


def test_a_feature_type_without_fit_is_skipped_and_an_unknown_one_lists_the_known(work):
    done = run_stage_script("fit_tokenizer.py", *flags(work, feature_type="fbank", out="z"))
    assert "needs no fitting: nothing to do" in done.stderr and not (work / "z").exists()
    wrong = run_stage_script("fit_tokenizer.py", *flags(work, feature_type="fbnk", out="z"), check=False)
    assert wrong.returncode == 1 and "unknown feature type 'fbnk'; did you mean fbank? known: " in wrong.stderr
    assert "small_km" in wrong.stderr and "mfcc_km500" in wrong.stderr


def test_silence_has_too_few_different_frames(tmp_path):
    work = tmp_path / "silent"
    manifest = write_manifest(work / "manifests", "train", 6)
    for path in (work / "manifests" / "audio").rglob("*.wav"):
        soundfile.write(path, np.zeros(soundfile.info(path).frames), RATE, subtype="PCM_16")
    assert manifest.is_file()
    write_conf(work / "conf")
    done = run_stage_script("fit_tokenizer.py", *flags(work), check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "but only 1 different ones, and 8 clusters need at least as many; is the audio silent?" in done.stderr
    assert not (work / "features" / "kmeans.safetensors").exists()
