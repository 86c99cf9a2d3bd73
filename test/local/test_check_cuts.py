import json

import numpy as np
import pytest
from toy_corpus import run_stage_script, write_conf, write_manifest


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    conf, out = write_conf(work / "conf"), work / "features" / "small_km"
    kind = ("--feature-type", "small_km", "--conf-dir", conf, "--out-dir", out)
    for seed, split in enumerate(("train", "dev", "test")):
        cuts = write_manifest(work / "manifests", split, 5, seed)
        if split == "train":
            run_stage_script("fit_tokenizer.py", *kind, "--cuts", cuts)
        speeds = "0.9,1.0,1.1" if split == "train" else "1.0"
        run_stage_script("extract_codes.py", *kind, "--cuts", cuts, "--split", split, "--speed-factors", speeds)
    return out


def test_report_of_a_real_tokenizer(features):
    run_stage_script("check_cuts.py", "--feature-dir", features)
    figures = json.loads((features / "report.json").read_text())
    assert figures["bits_per_second"] == 150.0 and 0 < figures["entropy_bits_per_second"] <= 150.0
    assert figures["splits"]["train"]["num_cuts"] == 15 and figures["splits"]["train"]["num_perturbed"] == 10
    assert figures["code_usage"]["fraction_used"] == 1.0
    assert figures["bytes_per_hour"] == pytest.approx(2 * 50 * 3600, rel=0.05)
    page = (features / "report.txt").read_text()
    assert "small_km" in page and len(page.splitlines()) < 60


def test_a_broken_promise_is_one_sentence_that_names_the_cut(features):
    codes = np.memmap(features / "dev.codes", dtype="<i2", mode="r+")
    good, codes[0] = int(codes[0]), 8
    codes.flush()
    done = run_stage_script("check_cuts.py", "--feature-dir", features, check=False)
    codes[0] = good
    codes.flush()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: cut dev-000: id 8 in frame 0 of codebook 0, expected 0 to 7")
    run_stage_script("check_cuts.py", "--feature-dir", features, "--splits", "dev")
