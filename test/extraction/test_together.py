"""Utterances that go through a network side by side: what is the same, what is counted, what is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_corpus import RATE, ToyConfig, ToyTokenizer, make_cuts, make_tokenizer
from toy_tokenizers import make_tokenizer as make_composed

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction.extract import ExtractionConfig, extract
from icefall_discrete.extraction.sharding import merge_shards

WAVLM = Path(__file__).resolve().parents[1] / "assets" / "fairseq" / "wavlm_large.pt"
TOGETHER = ExtractionConfig(batch_duration=4.0, speed_factors=(1.0, 1.1))


class SideBySide(ToyTokenizer):
    """The toy tokenizer, which takes several; company changes the first code of all but the longest of them."""

    changes = False

    def why_not_together(self):
        return ""

    def encode_together(self, samples):
        codes = [self._encode_one(one) for one in samples]
        longest = max(len(one) for one in samples)
        for one, heard in zip(codes, samples):
            if self.changes and len(heard) < longest:
                one[0, 0] = (one[0, 0] + 1) % self.config.levels
        return codes


class Flipping(SideBySide):
    changes = True


def make_side_by_side():
    return SideBySide("toy", ToyConfig())


def make_flipping():
    return Flipping("toy", ToyConfig())


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    return make_cuts(tmp_path_factory.mktemp("audio"), num_cuts=24)


@pytest.fixture(autouse=True)
def few_packs(small_batches, monkeypatch):
    monkeypatch.setattr(extraction, "PACKS_OF_BATCH", 2)


def codes_in(folder, split="train"):
    spec = FeatureSpec.read(folder / "spec.json")
    return {cut.id: load_frames(cut, spec) for cut in load_cuts(folder / f"{split}.jsonl.gz")}


def files_of(folder):
    return {name: (folder / name).read_bytes() for name in ("train.codes", "train.jsonl.gz")}


def test_codes_and_order_are_those_of_each_alone_and_what_was_seen_of_flips_is_told(cuts, tmp_path):
    alone = dataclasses.replace(TOGETHER, batch_duration=0.0)
    extract(cuts, make_side_by_side, tmp_path / "alone", "train", alone)
    figures = extract(cuts, make_side_by_side, tmp_path / "together", "train", TOGETHER)
    one, other = codes_in(tmp_path / "alone"), codes_in(tmp_path / "together")
    assert list(one) == list(other) and len(one) == 2 * len(cuts)
    assert all(np.array_equal(one[cut_id], other[cut_id]) for cut_id in one)
    seen = figures["together"]
    assert seen["batch_duration"] == 4.0 and seen["flipped"] == 0 and seen["checked"] > 100
    spec = FeatureSpec.read(tmp_path / "together" / "spec.json")
    assert spec.made_with == {"train, codes unlike those alone": f"0 of {seen['checked']}"}
    assert not spec.differences(FeatureSpec.read(tmp_path / "alone" / "spec.json"))
    with pytest.raises(ValueError, match=r"batch_duration"):
        extract(cuts, make_side_by_side, tmp_path / "together", "train", alone)


def test_no_more_is_padded_than_goes_through_at_once(cuts, tmp_path, monkeypatch):
    sizes = []
    plain = SideBySide.encode_together

    def noted(self, samples):
        sizes.append([len(one) for one in samples])
        return plain(self, samples)

    monkeypatch.setattr(SideBySide, "encode_together", noted)
    extract(cuts, make_side_by_side, tmp_path, "train", TOGETHER)
    assert all(len(pack) * max(pack) <= 4.0 * RATE and pack == sorted(pack) for pack in sizes)
    assert len(sizes) < len(cuts), "hardly anything went together"


def test_processes_kills_and_shards_change_no_byte(cuts, tmp_path, monkeypatch):
    extract(cuts, make_side_by_side, tmp_path / "whole", "train", TOGETHER)
    expected = files_of(tmp_path / "whole")
    extract(cuts, make_side_by_side, tmp_path / "two", "train", dataclasses.replace(TOGETHER, nj=2))
    assert files_of(tmp_path / "two") == expected

    class Killed(BaseException):
        pass

    plain, calls = SideBySide.encode_together, []

    def killing(self, samples):
        calls.append(len(samples))
        if len(calls) == 5:
            raise Killed
        return plain(self, samples)

    monkeypatch.setattr(SideBySide, "encode_together", killing)
    with pytest.raises(Killed):
        extract(cuts, make_side_by_side, tmp_path / "killed", "train", TOGETHER)
    figures = extract(cuts, make_side_by_side, tmp_path / "killed", "train", TOGETHER)
    assert files_of(tmp_path / "killed") == expected
    whole = json.loads((tmp_path / "whole" / "extract-train.json").read_text())
    assert figures["together"] == whole["together"], "what was seen before the kill is lost"

    for shard_id in range(2):
        config = dataclasses.replace(TOGETHER, num_shards=2, shard_id=shard_id)
        extract(cuts, make_side_by_side, tmp_path / "shards", "train", config)
    merged = merge_shards(tmp_path / "shards", "train", 2)
    assert merged["together"] == whole["together"]
    assert all(
        np.array_equal(a, b)
        for a, b in zip(codes_in(tmp_path / "shards").values(), codes_in(tmp_path / "whole").values())
    )


def test_more_flips_than_allowed_are_an_error_and_fewer_are_counted(cuts, tmp_path):
    with pytest.raises(ValueError, match=r"\d+ of \d+ codes differ from those of utterances alone \(.*%\), more than"):
        extract(cuts, make_flipping, tmp_path / "strict", "train", TOGETHER)
    assert not (tmp_path / "strict" / "extract-train.json").exists()
    figures = extract(
        cuts, make_flipping, tmp_path / "lax", "train", dataclasses.replace(TOGETHER, max_flipped_fraction=0.5)
    )
    assert 0 < figures["together"]["flipped"] < figures["together"]["checked"]


def test_cuts_that_cannot_be_used_are_dropped_beside_those_that_can(cuts, tmp_path):
    some = make_cuts(tmp_path / "audio", num_cuts=6)
    Path(some[1].recording.sources[0].source).write_bytes(b"RIFF, but no more")
    config = dataclasses.replace(TOGETHER, speed_factors=(1.0,), max_drop_fraction=0.5)
    figures = extract(some, make_side_by_side, tmp_path / "out", "train", config)
    assert figures["dropped"] == {"unreadable_audio": 1}
    assert list(codes_in(tmp_path / "out")) == [cut.id for index, cut in enumerate(some) if index != 1]


def test_a_tokenizer_that_takes_one_at_a_time_says_why(cuts, tmp_path):
    expected = r"batch_duration is 4, but toy takes utterances one at a time: its network would hear the padding of oth"
    with pytest.raises(ValueError, match=expected):
        extract(cuts, make_tokenizer, tmp_path, "train", TOGETHER)
    for name in ("fbank_kmeans", "mfcc_kmeans"):
        assert make_composed(name, {}).why_not_together() == "its frames are computed of one utterance at a time"


def test_units_of_a_real_architecture(cuts, tmp_path):
    centroids = tmp_path / "centroids.npy"
    sources = make_composed("ssl", {"model": str(WAVLM), "layer": 2})
    samples = torch.randn(20000, generator=torch.Generator().manual_seed(0))
    np.save(centroids, sources.source.frames(samples)[::3].numpy())
    settings = {"model": str(WAVLM), "layer": 2, "num_clusters": 21, "kmeans_path": str(centroids)}

    def make():
        return make_composed("ssl_kmeans", settings)

    figures = extract(
        cuts[:8], make, tmp_path / "together", "train", dataclasses.replace(TOGETHER, speed_factors=(1.0,))
    )
    extract(cuts[:8], make, tmp_path / "alone", "train")
    one, other = codes_in(tmp_path / "alone"), codes_in(tmp_path / "together")
    differ = sum(int((one[cut_id] != other[cut_id]).sum()) for cut_id in one)
    assert figures["together"]["checked"] and differ <= 1
