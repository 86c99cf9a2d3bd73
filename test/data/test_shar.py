"""Cuts and codes as Shar: same cuts and frames as the manifest, one set of fields a feature type, nothing half done."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import toy_corpus
from lhotse import CutSet
from lhotse.utils import fastcopy

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.cuts import load_cuts, load_frames, text_of, without_frames, write_cuts
from icefall_discrete.data.dataset import BatchDataset
from icefall_discrete.data.filters import FilterConfig, filter_cuts, filter_shar
from icefall_discrete.data.language_sampling import hours_by_language
from icefall_discrete.data.loaders import LoaderConfig, _BucketingSampler, epoch_sampler, make_epoch_batches
from icefall_discrete.data.shar import KeptCuts, SharConfig, SharSource, export_shar, require_current
from icefall_discrete.data.statistics import feature_statistics

NUM_CUTS = 11
CONFIG = SharConfig(shard_size=4)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two feature types, codes and continuous, of the same cuts with speed copies, extracted by the stage."""
    folder = tmp_path_factory.mktemp("work")
    manifest = toy_corpus.write_manifest(folder, "train", NUM_CUTS)
    conf = toy_corpus.write_conf(folder / "conf")
    for name in ("small_km", "fbank"):
        flags = ("--feature-type", name, "--conf-dir", conf, "--cuts", manifest, "--out-dir", folder / name)
        toy_corpus.run_stage_script("fit_tokenizer.py", *flags)
        toy_corpus.run_stage_script("extract_codes.py", *flags, "--split", "train", "--speed-factors", "0.9 1.0")
    return folder


def extracted(work, name):
    return load_cuts(work / name / "train.jsonl.gz"), FeatureSpec.read(work / name / "spec.json")


def assert_same_cuts(found, expected, spec):
    assert [cut.id for cut in found] == [cut.id for cut in expected]
    for left, right in zip(found, expected):
        np.testing.assert_array_equal(load_frames(left, spec), load_frames(right, spec))
        assert load_frames(left, spec).dtype == load_frames(right, spec).dtype
        assert (left.duration, text_of(left)) == (right.duration, text_of(right))
        assert without_frames(left).to_dict() == without_frames(right).to_dict()


@pytest.mark.parametrize("name", ["small_km", "fbank"])
def test_round_trip(work, name, tmp_path):
    cuts, spec = extracted(work, name)
    folder = tmp_path / "50% of 'my' données"
    summary = export_shar(cuts, spec, folder, CONFIG)
    assert summary["num_cuts"] == len(cuts) == 2 * NUM_CUTS
    source = SharSource(folder, name)
    assert source.spec == spec
    assert_same_cuts(list(source.cuts()), list(cuts), spec)
    assert_same_cuts(list(source.cuts()), list(cuts), spec)  # a second pass


def test_another_feature_type_adds_a_folder_and_touches_nothing(work, tmp_path):
    codes, spec = extracted(work, "small_km")
    features, other = extracted(work, "fbank")
    export_shar(codes, spec, tmp_path, CONFIG)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    export_shar(features, other, tmp_path, CONFIG)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert_same_cuts(
        list(SharSource(tmp_path, "small_km").cuts(3)), list(SharSource(tmp_path, "small_km").cuts(3)), spec
    )
    by_id = {cut.id: cut for cut in features}
    shuffled = list(SharSource(tmp_path, "fbank").cuts(3))
    assert_same_cuts(shuffled, [by_id[cut.id] for cut in shuffled], other)
    assert sorted(by_id) == sorted(cut.id for cut in shuffled)


def test_shards_are_shuffled_as_a_whole_by_the_seed(work, tmp_path):
    cuts, spec = extracted(work, "small_km")
    export_shar(cuts, spec, tmp_path, CONFIG)
    source, ids = SharSource(tmp_path, "small_km"), [cut.id for cut in cuts]
    orders = {seed: [cut.id for cut in source.cuts(seed)] for seed in range(4)}
    assert len({tuple(order) for order in orders.values()}) > 1
    shards = {tuple(ids[start : start + 4]) for start in range(0, len(ids), 4)}
    for order in orders.values():
        assert sorted(order) == sorted(ids)
        starts = [place for place in range(len(order)) if place == 0 or ids.index(order[place]) % 4 == 0]
        assert {tuple(order[a:b]) for a, b in zip(starts, [*starts[1:], None])} == shards


def test_a_truncated_cut_keeps_its_own_frames_only(work, tmp_path):
    cuts, spec = extracted(work, "small_km")
    part = list(cuts)[1].truncate(offset=0.1, duration=0.2)
    export_shar([part], spec, tmp_path, CONFIG)
    (found,) = SharSource(tmp_path, "small_km").cuts()
    np.testing.assert_array_equal(load_frames(found, spec), load_frames(part, spec))
    assert len(load_frames(found, spec)) == 10


def test_other_cuts_than_those_there_are_refused_and_leave_nothing(work, tmp_path):
    codes, spec = extracted(work, "small_km")
    features, other = extracted(work, "fbank")
    export_shar(codes, spec, tmp_path, CONFIG)
    with pytest.raises(ValueError, match=r"are others than those given \(num_cuts: 22 against 21; duration_sec"):
        export_shar(list(features)[1:], other, tmp_path, CONFIG)
    assert not (tmp_path / "fbank").exists()
    with pytest.raises(ValueError, match="shard_size: 4 against 5"):
        export_shar(features, other, tmp_path, SharConfig(shard_size=5))
    with pytest.raises(FileExistsError, match="move it aside to export 'small_km' anew"):
        export_shar(codes, spec, tmp_path, CONFIG)
    export_shar(features, other, tmp_path, CONFIG)  # what the refused ones left does not stand in the way
    assert SharSource(tmp_path, "fbank").summary["num_cuts"] == 2 * NUM_CUTS


def test_a_failure_half_way_leaves_no_folder_that_looks_complete(work, tmp_path):
    cuts, spec = extracted(work, "small_km")

    def failing():
        yield from list(cuts)[:6]
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        export_shar(failing(), spec, tmp_path, CONFIG)
    with pytest.raises(FileNotFoundError, match=r"export feature type 'small_km' with local/export_shar.py first"):
        SharSource(tmp_path, "small_km")
    export_shar(cuts, spec, tmp_path, CONFIG)
    assert_same_cuts(list(SharSource(tmp_path, "small_km").cuts()), list(cuts), spec)


def test_a_missing_shard_is_told(work, tmp_path):
    cuts, spec = extracted(work, "small_km")
    export_shar(cuts, spec, tmp_path, CONFIG)
    (tmp_path / "small_km" / "frames.000002.tar").unlink()
    with pytest.raises(ValueError, match=r"has 5 shards of codes of 'small_km', expected 6"):
        SharSource(tmp_path, "small_km")


def test_nothing_to_export_and_variable_rates_are_refused(work, tmp_path):
    _, spec = extracted(work, "small_km")
    with pytest.raises(ValueError, match="there are no cuts to export"):
        export_shar([], spec, tmp_path, CONFIG)
    with pytest.raises(ValueError, match="has a variable rate"):
        export_shar([], dataclasses.replace(spec, max_frame_rate_hz=spec.frame_rate_hz), tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_the_stage_shuffles_and_leaves_out_what_is_done(work, tmp_path):
    cuts, spec = extracted(work, "small_km")
    flags = ("--feature-dir", work / "small_km", "--shar-dir", tmp_path, "--shard-size", 4)
    toy_corpus.run_stage_script("export_shar.py", *flags)
    found = list(SharSource(tmp_path / "train", "small_km").cuts())
    assert [cut.id for cut in found] != [cut.id for cut in cuts]
    by_id = {cut.id: cut for cut in cuts}
    assert_same_cuts(found, [by_id[cut.id] for cut in found], spec)
    assert "nothing to do" in toy_corpus.run_stage_script("export_shar.py", *flags).stderr
    other = ("--feature-dir", work / "fbank", "--shar-dir", tmp_path, "--shard-size", 4)
    toy_corpus.run_stage_script("export_shar.py", *other)
    assert [cut.id for cut in SharSource(tmp_path / "train", "fbank").cuts()] == [cut.id for cut in found]


def test_manifests_and_shar_give_equal_cut_sets(work, tmp_path):
    cuts, spec = extracted(work, "small_km")
    export_shar(cuts, spec, tmp_path, CONFIG)
    lazy = SharSource(tmp_path, "small_km").cuts()
    assert isinstance(lazy, CutSet) and lazy.is_lazy
    assert sum(cut.duration for cut in lazy) == pytest.approx(sum(cut.duration for cut in fastcopy(cuts)), abs=1e-3)


def keep_all(cut):
    return True


@pytest.fixture(scope="module")
def kept(work, tmp_path_factory):
    cuts, spec = extracted(work, "small_km")
    folder = tmp_path_factory.mktemp("shar")
    export_shar(cuts, spec, folder, CONFIG)
    return KeptCuts(SharSource(folder, "small_km"), keep_all, {"en": 0.01}, len(cuts)), spec


def batches(kept, spec, epoch=1, seed=7, start_batch=0):
    config = LoaderConfig(max_duration=5.0, num_buckets=2)
    return list(make_epoch_batches(kept, config, BatchDataset(spec, AugmentConfig(), seed, epoch), start_batch))


def ids_of(found):
    return [batch["cut_ids"] for batch in found]


def test_an_epoch_has_each_cut_once_in_an_order_of_its_own(kept):
    cuts, spec = kept
    epochs = [ids_of(batches(cuts, spec, epoch)) for epoch in (1, 2, 3)]
    for epoch in epochs:
        assert sorted(name for batch in epoch for name in batch) == sorted(cut.id for cut in cuts)
    assert len({tuple(map(tuple, epoch)) for epoch in epochs}) == 3
    assert ids_of(batches(cuts, spec, 2)) == epochs[1]


def test_an_epoch_that_is_resumed_equals_its_rest(kept):
    cuts, spec = kept
    whole = batches(cuts, spec)
    rest = batches(cuts, spec, start_batch=2)
    assert ids_of(rest) == ids_of(whole)[2:] and len(rest) > 1
    for left, right in zip(rest, whole[2:]):
        assert torch.equal(left["codes"], right["codes"])


def test_shorter_first_needs_the_manifest(kept):
    cuts, _ = kept
    with pytest.raises(ValueError, match="curriculum_epochs is 1, but cuts that are read from Shar"):
        epoch_sampler(cuts, LoaderConfig(curriculum_epochs=1), 1, 0)


def test_filter_drops_and_counts_as_for_a_manifest(work, tmp_path, caplog):
    cuts, spec = extracted(work, "small_km")
    export_shar(cuts, spec, tmp_path, CONFIG)
    config = FilterConfig(min_utterance_sec=1.0, max_utterance_sec=2.0, use_speed_copies=False, languages=("en",))

    def needed(cut):
        return 45 if cut.id.startswith("train-004") else 3

    expected = filter_cuts(cuts, config, spec, lambda frames: frames // 2, needed)
    caplog.clear()
    with caplog.at_level("INFO"):
        found = filter_shar(SharSource(tmp_path, "small_km"), config, lambda frames: frames // 2, needed)
    assert [cut.id for cut in found] == [cut.id for cut in expected.cuts]
    assert len(found) == len(expected.cuts) < len(cuts)
    assert found.hours == hours_by_language(expected.cuts)
    for reason, count in expected.dropped.items():
        assert f"dropped {count} of {len(cuts)} cuts: {reason}" in caplog.text
    with pytest.raises(ValueError, match="all 22 cuts were dropped"):
        filter_shar(SharSource(tmp_path, "small_km"), FilterConfig(languages=("fr",)), len, needed)


def test_statistics_of_features_come_from_a_bounded_sample(work, tmp_path):
    cuts, spec = extracted(work, "fbank")
    export_shar(cuts, spec, tmp_path, CONFIG)
    kept = KeptCuts(SharSource(tmp_path, "fbank"), keep_all, {}, len(cuts))
    for left, right in zip(feature_statistics(kept, spec, 100, 0), feature_statistics(cuts, spec, 100, 0)):
        torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)
    few = feature_statistics(kept, spec, 5, 0)
    assert torch.equal(few[0], feature_statistics(kept, spec, 5, 0)[0])
    assert not torch.equal(few[0], feature_statistics(kept, spec, 100, 0)[0])


def test_the_stage_exports_anew_what_is_out_of_date_and_takes_exports_of_before(work, tmp_path):
    features, shar, made = tmp_path / "small_km", tmp_path / "shar", "small_km/made_from.json"
    shutil.copytree(work / "small_km", features)
    flags = ("export_shar.py", "--feature-dir", features, "--shar-dir", shar)
    toy_corpus.run_stage_script(*flags)
    assert "nothing to do" in toy_corpus.run_stage_script(*flags).stderr
    (shar / "train" / made).unlink()
    summary = shar / "train" / "cuts" / "shar.json"
    there = json.loads(summary.read_text())
    del there["contents"]
    summary.write_text(json.dumps(there))
    assert "nothing to do" in toy_corpus.run_stage_script(*flags).stderr and (shar / "train" / made).is_file()
    spec, manifest = FeatureSpec.read(features / "spec.json"), features / "train.jsonl.gz"
    require_current(shar / "train", spec, manifest)
    done = toy_corpus.run_stage_script(*flags, "--seed", 7, check=False)
    assert done.returncode == 1 and "was exported with other seed (was 42, is 7); choose" in done.stderr
    (features / "extract-train.json").unlink()
    cuts = [
        fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text="said anew")]) for cut in load_cuts(manifest)
    ]
    write_cuts(manifest, cuts)
    with pytest.raises(ValueError, match=r"small_km was exported from another .*train\.jsonl\.gz .*run export_shar"):
        require_current(shar / "train", spec, manifest)
    assert "small_km was exported with other" in toy_corpus.run_stage_script(*flags).stderr
    assert {text_of(cut) for cut in SharSource(shar / "train", "small_km").cuts()} == {"said anew"}
    assert len(list(shar.glob("train.before-*"))) == 1


def test_an_epoch_reads_each_cut_once_and_has_the_batches_of_lhotse(kept):
    cuts, _ = kept
    read = []

    class Counted:
        def __iter__(self):
            for cut in cuts.of_epoch(1, 7):
                read.append(cut.id)
                yield cut

    config = LoaderConfig(max_duration=5.0, num_buckets=2)
    sampler = epoch_sampler(CutSet(Counted()), config, 1, 7)
    found = [[cut.id for cut in batch] for batch in sampler]
    assert sorted(read) == sorted(cut.id for cut in cuts) and len(found) > 2
    again = [[cut.id for cut in batch] for batch in sampler]  # read anew
    assert again == found and len(read) == 2 * len(cuts)
    theirs = _BucketingSampler(cuts.of_epoch(1, 7), max_duration=5.0, num_buckets=2, shuffle=True, seed=7)
    theirs.set_epoch(1)
    assert [[cut.id for cut in batch] for batch in theirs] == found
