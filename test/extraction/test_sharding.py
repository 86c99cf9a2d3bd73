import dataclasses
import json
import random

import numpy as np
import pytest
from toy_corpus import make_cuts, make_tokenizer, run_stage_script

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction.check import check_folder
from icefall_discrete.extraction.extract import ExtractionConfig, extract
from icefall_discrete.extraction.planning import Plan
from icefall_discrete.extraction.sharding import Shard, SplitFiles, find_num_shards, merge_shards, shard_batches

pytestmark = pytest.mark.usefixtures("small_batches")
SPEEDS = ExtractionConfig(speed_factors=(0.9, 1.0))


def run_shards(cuts, folder, num_shards, order=None, config=SPEEDS):
    for shard_id in order if order is not None else range(num_shards):
        job = dataclasses.replace(config, num_shards=num_shards, shard_id=shard_id)
        extract(cuts, make_tokenizer, folder, "train", job)


def lines_without_place(folder):
    """The manifest's lines without the name of the archive and the place in it."""
    found = []
    for cut in load_cuts(folder / "train.jsonl.gz"):
        values = cut.to_dict()
        del values["custom"]["codes"]["array"]["storage_path"], values["custom"]["codes"]["array"]["storage_key"]
        found.append(values)
    return found


def assert_same_codes(folder, reference):
    spec = FeatureSpec.read(folder / "spec.json")
    for ours, theirs in zip(load_cuts(folder / "train.jsonl.gz"), load_cuts(reference / "train.jsonl.gz")):
        np.testing.assert_array_equal(load_frames(ours, spec), load_frames(theirs, spec))
    assert lines_without_place(folder) == lines_without_place(reference)


@pytest.mark.parametrize("num_shards, order", [(3, (2, 0, 1)), (2, (1, 0)), (40, None)])
def test_shards_in_any_order_give_the_codes_and_the_manifest_of_one_job(cuts, reference, tmp_path, num_shards, order):
    run_shards(cuts, tmp_path, num_shards, order)
    figures = merge_shards(tmp_path, "train", num_shards)
    assert_same_codes(tmp_path, reference)
    whole = json.loads((reference / "extract-train.json").read_text())
    for key in ("num_cuts", "dropped", "bytes", "made_from"):
        assert figures[key] == whole[key]
    assert figures["audio_sec"] == pytest.approx(whole["audio_sec"], abs=0.01 * num_shards)
    assert not (tmp_path / "train.codes").exists(), "archives are not copied"
    assert sum(path.stat().st_size for path in tmp_path.glob("train.shard-*.codes")) == figures["bytes"]
    (report,) = check_folder(tmp_path, ["train"], "train")
    assert report.num_bytes == figures["bytes"]


def test_after_merging_every_job_has_nothing_to_do(cuts, reference, tmp_path, caplog):
    run_shards(cuts, tmp_path, 2)
    merge_shards(tmp_path, "train", 2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with caplog.at_level("INFO"):
        run_shards(cuts, tmp_path, 2)
        run_shards(cuts, tmp_path, 5)
        extract(cuts, make_tokenizer, tmp_path, "train", SPEEDS)
    assert caplog.text.count("is complete already: nothing to do") == 8
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_lost_shard_is_made_again(cuts, reference, tmp_path):
    run_shards(cuts, tmp_path, 3)
    merge_shards(tmp_path, "train", 3)
    (tmp_path / "train.shard-1-of-3.codes").unlink()
    run_shards(cuts, tmp_path, 3)
    merge_shards(tmp_path, "train", 3)
    assert_same_codes(tmp_path, reference)


def test_missing_shards_are_named(cuts, tmp_path):
    with pytest.raises(ValueError, match=r"holds no shard of 'train'; extract them first"):
        find_num_shards(tmp_path, "train")
    run_shards(cuts, tmp_path, 4, (0, 2))
    assert find_num_shards(tmp_path, "train") == 4
    with pytest.raises(ValueError, match=r"2 of 4 shards of 'train' in .* are not complete: 1, 3; run their jobs"):
        merge_shards(tmp_path, "train", 4)
    assert not (tmp_path / "train.jsonl.gz").exists()
    run_shards(cuts, tmp_path, 3, (0,))
    with pytest.raises(ValueError, match=r"holds shards of 3, 4 jobs of 'train'; say which to merge"):
        find_num_shards(tmp_path, "train")


def test_shards_of_other_inputs_are_not_mixed(cuts, tmp_path):
    run_shards(cuts, tmp_path, 2, (0,))
    run_shards(cuts[1:], tmp_path, 2, (1,))
    with pytest.raises(
        ValueError, match=r"shard-1-of-2\.jsonl\.gz was extracted otherwise than .*, with other cuts, num_cuts"
    ):
        merge_shards(tmp_path, "train", 2)
    with pytest.raises(ValueError, match=r"shard-1-of-2\.jsonl\.gz was extracted with other cuts, num_cuts \("):
        run_shards(cuts, tmp_path, 2, (1,))


def test_a_cut_in_two_shards_is_refused(cuts, tmp_path):
    run_shards(cuts, tmp_path, 2)
    files = [SplitFiles.of(tmp_path, "train", Shard(shard_id, 2)) for shard_id in (0, 1)]
    held = json.loads(files[1].figures.read_text())
    held["num_cuts"] = json.loads(files[0].figures.read_text())["num_cuts"]
    held["batches"] = json.loads(files[0].figures.read_text())["batches"]
    files[1].figures.write_text(json.dumps(held))
    files[1].manifest.write_bytes(files[0].manifest.read_bytes())
    with pytest.raises(ValueError, match=r"cut utt\d+(_sp0\.9)? is in two shards of 'train'"):
        merge_shards(tmp_path, "train", 2)


def test_a_damaged_shard_manifest_is_named(cuts, tmp_path):
    run_shards(cuts, tmp_path, 2)
    path = tmp_path / "train.shard-1-of-2.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"shard-1-of-2\.jsonl\.gz is damaged .*rerun the job of that shard"):
        merge_shards(tmp_path, "train", 2)


def test_drops_are_counted_over_all_shards(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 12)
    for name in ("utt002", "utt009"):
        (tmp_path / "audio" / f"{name}.wav").unlink()
    allowed = ExtractionConfig(max_drop_fraction=0.2)
    run_shards(cuts, tmp_path / "out", 3, config=allowed)
    figures = merge_shards(tmp_path / "out", "train", 3)
    assert figures["dropped"] == {"unreadable_audio": 2} and figures["num_cuts"] == 10
    lines = (tmp_path / "out" / "dropped-train.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["utt002", "utt009"]
    extract(cuts, make_tokenizer, tmp_path / "whole", "train", allowed)
    assert (tmp_path / "whole" / "dropped-train.jsonl").read_text().splitlines() == lines


def test_the_shards_together_may_not_drop_more_than_the_split(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 12)
    plan = Plan(cuts, (1.0,), extraction.BATCH_SEC)
    plan.check("train", make_tokenizer(), False)
    first, second = shard_batches(plan.seconds, 2)
    for _, (cut, *_others) in plan.batches(sorted((first[0], second[0]))):  # one cut of each shard
        (tmp_path / "audio" / f"{cut.id}.wav").unlink()
    run_shards(cuts, tmp_path / "out", 2, config=ExtractionConfig(max_drop_fraction=0.1))
    with pytest.raises(ValueError, match=r"2 cuts of 'train' cannot be used, more than max_drop_fraction allows \(1\)"):
        merge_shards(tmp_path / "out", "train", 2)


def test_shards_are_balanced_and_hold_every_batch_once():
    rng = random.Random(0)
    for num_shards in (1, 2, 7, 30):
        seconds = [rng.uniform(1, 40) for _ in range(60)]
        shards = shard_batches(seconds, num_shards)
        assert sorted(index for shard in shards for index in shard) == list(range(60))
        assert all(shard == sorted(shard) for shard in shards)
        loads = [sum(seconds[index] for index in shard) for shard in shards]
        assert max(loads) - min(loads) <= max(seconds)
    assert [len(shard) for shard in shard_batches([1.0], 3)] == [1, 0, 0]


def test_a_shard_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"shard_id is 2, expected 0 to num_shards - 1 = 1"):
        ExtractionConfig(num_shards=2, shard_id=2)


def test_the_stage_merges_as_many_shards_as_it_finds(cuts, reference, tmp_path):
    run_shards(cuts, tmp_path, 2, (0,))
    failed = run_stage_script("merge_shards.py", "--out-dir", tmp_path, "--split", "train", check=False)
    assert failed.returncode == 1 and "are not complete: 1;" in failed.stderr
    run_shards(cuts, tmp_path, 2, (1,))
    run_stage_script("merge_shards.py", "--out-dir", tmp_path, "--split", "train")
    assert_same_codes(tmp_path, reference)
