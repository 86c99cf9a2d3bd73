"""tools/benchmark/bench_dtype.py: codes of a toy encoder in two number formats."""

import json
import sys
from pathlib import Path

import pytest
from lhotse import CutSet, Recording

from icefall_discrete.tokenizers import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "test" / "assets" / "fairseq" / "wav2vec2.pt"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools" / "benchmark")
    import bench_dtype

    def call(*flags):
        monkeypatch.setattr(sys, "argv", ["bench_dtype.py", *map(str, flags)])
        bench_dtype.main()

    return call


@pytest.fixture
def features(tmp_path, fit_audio):
    """A folder of features with the conf and the state of its tokenizer."""
    folder = tmp_path / "toy_units"
    (folder / "tokenizer").mkdir(parents=True)
    settings = {"tokenizer": "ssl_kmeans", "model": str(CHECKPOINT), "layer": 3, "num_clusters": 8, "fit_memory_mib": 8}
    (folder / "tokenizer" / "toy_units.json").write_text(json.dumps(settings))
    load_tokenizer("toy_units", [folder / "tokenizer"]).fit(fit_audio, folder, 0)
    return folder


def test_each_format_has_its_share_of_codes_that_differ(bench, features, tmp_path, capsys):
    recording = Recording.from_file(ROOT / "test" / "assets" / "speech.flac")
    CutSet.from_cuts([recording.to_cut()]).to_file(tmp_path / "cuts.jsonl.gz")
    bench("--feature-dir", features, "--cuts", tmp_path / "cuts.jsonl.gz")
    rows = [line.split("|")[1:5] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    by_name = {name.strip(): (float(ratio), share.strip()) for name, _, ratio, share in rows[1:]}
    assert by_name["float32"] == (1.0, "0.00%")
    assert by_name.keys() == {"float32", "bfloat16"}
    assert 0 <= float(by_name["bfloat16"][1].rstrip("%")) < 50


def test_what_is_missing_is_a_sentence(bench):
    with pytest.raises(ValueError, match="--feature-dir and --cuts are needed"):
        bench()
