from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from toy_tokenizers import make_tokenizer

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.results.bit_rates import bit_rate_table, published_specs
from icefall_discrete.tokenizers import load_tokenizer

CHECKPOINT = Path(__file__).resolve().parents[1] / "assets" / "fairseq" / "wavlm_large.pt"


def test_the_published_bit_rates_come_out_of_the_specs():
    lines = bit_rate_table(published_specs()).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[-1] for row in cells] == ["256.00", "0.55", "0.55", "6.00", "1.66"]
    assert [row[2] for row in cells] == ["80 x 32 bits", "1 x 2000", "1 x 2000", "8 x 1024", "2 x 320"]


def promise(spec):
    return spec.kind, spec.sample_rate_hz, spec.frame_rate_hz, spec.codebook_sizes, spec.feature_dim


def test_tokenizers_promise_what_the_published_rows_say(tmp_path):
    rows = {spec.name: spec for spec in published_specs()}
    assert promise(load_tokenizer("fbank").spec) == promise(rows["fbank"])
    arrays = {"centroids": np.random.default_rng(0).standard_normal((2000, 12), dtype=np.float32)}
    save_file({**arrays, "mean": np.zeros(12, "f4"), "scale": np.ones(12, "f4")}, tmp_path / "km.safetensors")
    settings = {"model": str(CHECKPOINT), "layer": 2, "kmeans_path": str(tmp_path / "km.safetensors")}
    assert promise(make_tokenizer("ssl_kmeans", settings).spec) == promise(rows["wavlm_large_l21_km2000"])


def test_codebooks_of_several_sizes_are_added_up():
    mixed = FeatureSpec("mixed", "codes", 16000, 10.0, 3, (4, 16, 4), 0)
    assert bit_rate_table([mixed]).splitlines()[2] == "| mixed | 10 | 2 x 4 + 1 x 16 | 0.08 |"
