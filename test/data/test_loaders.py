import dataclasses

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut, SupervisionSegment

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach, load_cuts, write_cuts
from icefall_discrete.data.dataset import BatchDataset, collate
from icefall_discrete.data.loaders import (
    LoaderConfig,
    count_batches,
    largest_batches,
    make_epoch_batches,
    make_test_batches,
    report_long_cuts,
)

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 2, (500, 30), 0)
CONTINUOUS = FeatureSpec("toyf", "continuous", 16000, 50.0, 0, (), 3)
CONFIG = LoaderConfig(max_duration=20.0, num_buckets=4)


def write_split(folder, spec, num_cuts=60):
    rng = np.random.default_rng(0)
    cuts = []
    with FlatArchiveWriter(folder / "train.codes") as writer:
        for index in range(num_cuts):
            frames = int(rng.integers(25, 250))
            if spec.kind == "codes":
                values = rng.integers(0, spec.codebook_sizes, (frames, 2)).astype(np.int16)
            else:
                values = rng.standard_normal((frames, 3)).astype(np.float32)
            array = writer.store_array(str(index), values, frame_shift=0.02, temporal_dim=0)
            array.array.storage_path = "train.codes"
            supervision = SupervisionSegment(str(index), "r", 0.0, frames / 50, text=f"text {index}")
            cuts.append(attach(MonoCut(f"cut-{index}", 0.0, frames / 50, 0, supervisions=[supervision]), array, spec))
    write_cuts(folder / "train.jsonl.gz", cuts)
    return load_cuts(folder / "train.jsonl.gz")


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    return write_split(tmp_path_factory.mktemp("codes"), SPEC)


def same(left, right):
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key], key
    return True


def epoch(cuts, config=CONFIG, number=1, seed=7, start_batch=0):
    return list(make_epoch_batches(cuts, config, BatchDataset(SPEC, AugmentConfig(), seed, number), start_batch))


def test_a_batch_holds_the_codes_padded_with_the_padding_ids(cuts):
    some = CutSet.from_cuts([cuts["cut-3"], cuts["cut-5"]])
    batch = collate(some, SPEC)
    assert batch["codes"].dtype == torch.int64 and batch["frame_lens"].dtype == torch.int64
    assert batch["cut_ids"] == ["cut-3", "cut-5"] and batch["text"] == ["text 3", "text 5"]
    for cut, row, length in zip(some, batch["codes"], batch["frame_lens"]):
        np.testing.assert_array_equal(row[:length].numpy(), cut.load_codes())
        assert (row[length:] == torch.tensor([500, 30])).all()
    assert batch["codes"].shape == (2, int(batch["frame_lens"].max()), 2)
    torch.testing.assert_close(batch["duration_sec"], torch.tensor([cut.duration for cut in some]))


def test_features_are_padded_with_zero(tmp_path):
    batch = collate(write_split(tmp_path, CONTINUOUS, 3), CONTINUOUS)
    assert batch["features"].dtype == torch.float32 and "codes" not in batch
    for row, length in zip(batch["features"], batch["frame_lens"]):
        assert (row[length:] == 0).all() and (row[:length] != 0).any(dim=1).all()


def test_other_columns_than_promised_name_the_cut(cuts):
    wide = dataclasses.replace(SPEC, num_codebooks=3, codebook_sizes=(500, 30, 30))
    with pytest.raises(ValueError, match=r"cut cut-0: 2 columns, but toy promises 3"):
        collate(CutSet.from_cuts([cuts["cut-0"]]), wide)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        dataclasses.replace(CONFIG, shuffle=False),
        dataclasses.replace(CONFIG, curriculum_epochs=2, curriculum_max_duration=8.0),
        LoaderConfig(max_duration=1000.0, num_buckets=30),
    ],
)
def test_an_epoch_has_each_cut_once_within_the_limit(cuts, config):
    for number in (1, 3):
        batches = epoch(cuts, config, number)
        ids = [cut_id for batch in batches for cut_id in batch["cut_ids"]]
        assert sorted(ids) == sorted(cut.id for cut in cuts)
        assert all(float(batch["duration_sec"].sum()) <= config.batch_sec(number) + 1e-3 for batch in batches)
        assert count_batches(cuts, config, number, 7) == len(batches)


@pytest.mark.parametrize("curriculum_epochs", [0, 5])
@pytest.mark.parametrize("start_batch", [0, 1, 6])
def test_a_resumed_epoch_is_the_tail_of_the_whole_one(cuts, start_batch, curriculum_epochs):
    config = dataclasses.replace(CONFIG, curriculum_epochs=curriculum_epochs)
    whole, tail = epoch(cuts, config, 2), epoch(cuts, config, 2, start_batch=start_batch)
    assert len(tail) == len(whole) - start_batch > 0
    assert all(same(a, b) for a, b in zip(whole[start_batch:], tail))


def test_epochs_and_seeds_differ(cuts):
    one, other_epoch, other_seed = epoch(cuts), epoch(cuts, number=2), epoch(cuts, seed=8)
    for other in (other_epoch, other_seed):
        assert {tuple(batch["cut_ids"]) for batch in one} != {tuple(batch["cut_ids"]) for batch in other}


def test_workers_do_not_change_a_batch(cuts):
    config = dataclasses.replace(CONFIG, num_workers=2)
    assert all(same(a, b) for a, b in zip(epoch(cuts)[3:], epoch(cuts, config, start_batch=3)))


@pytest.mark.parametrize("changes", [{}, {"curriculum_epochs": 1}, {"num_buckets": 1}])
def test_batches_may_be_of_so_many_utterances(cuts, changes):
    config = LoaderConfig(max_duration=1000.0, max_cuts=4, **{"num_buckets": 2, **changes})
    sizes = [len(batch["cut_ids"]) for batch in epoch(cuts, config)]
    assert sum(sizes) == len(cuts) and max(sizes) == 4 and sizes.count(4) >= len(sizes) - 2
    assert count_batches(cuts, config, 1, 7) == len(sizes)


def test_the_curriculum_comes_short_utterances_first(cuts):
    config = dataclasses.replace(CONFIG, curriculum_epochs=1)
    durations = torch.cat([batch["duration_sec"] for batch in epoch(cuts, config)])
    assert (durations.diff() >= 0).all()
    later = torch.cat([batch["duration_sec"] for batch in epoch(cuts, config, number=2)])
    assert (later.diff() < 0).any()


def test_the_order_of_the_manifest_does_not_matter_to_the_curriculum(cuts):
    config = dataclasses.replace(CONFIG, curriculum_epochs=1)
    turned = CutSet.from_cuts(list(cuts)[::-1])
    assert [b["cut_ids"] for b in epoch(cuts, config)] == [b["cut_ids"] for b in epoch(turned, config)]


def test_augmentation_begins_with_its_epoch_and_is_off_for_none(cuts):
    item = (0, CutSet.from_cuts([cuts["cut-1"], cuts["cut-2"]]))
    plain = BatchDataset(SPEC, None, seed=1, epoch=5)[item]
    config = AugmentConfig(augment_prob=1.0, augment_start_epoch=3, time_warp_sec=0.2)
    assert same(plain, BatchDataset(SPEC, config, seed=1, epoch=2)[item])
    augmented = BatchDataset(SPEC, config, seed=1, epoch=3)[item]
    assert not torch.equal(plain["codes"], augmented["codes"])
    assert torch.equal(plain["frame_lens"], augmented["frame_lens"])


def test_test_batches_are_whole_plain_and_longest_first(cuts):
    batches = list(make_test_batches(cuts, CONFIG, SPEC))
    ids = [cut_id for batch in batches for cut_id in batch["cut_ids"]]
    assert sorted(ids) == sorted(cut.id for cut in cuts)
    durations = torch.cat([batch["duration_sec"] for batch in batches])
    assert (durations.diff() <= 0).all()
    assert all(len(b["cut_ids"]) * float(b["duration_sec"].max()) <= CONFIG.max_duration + 1e-3 for b in batches)
    plain = collate(CutSet.from_cuts([cuts[cut_id] for cut_id in batches[1]["cut_ids"]]), SPEC)
    assert same(plain, batches[1])


def test_a_single_cut_and_one_longer_than_the_limit_are_batches(cuts):
    config = LoaderConfig(max_duration=0.4)
    one = CutSet.from_cuts([cuts["cut-0"]])
    assert [b["cut_ids"] for b in epoch(one, config)] == [["cut-0"]]
    assert [b["cut_ids"] for b in make_test_batches(one, config, SPEC)] == [["cut-0"]]


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="max_duration is 0"):
        LoaderConfig(max_duration=0)
    with pytest.raises(ValueError, match="num_buckets is 0"):
        LoaderConfig(num_buckets=0)


def test_the_quadratic_penalty_shortens_batches_of_long_cuts_in_every_epoch(cuts):
    plain = dataclasses.replace(CONFIG, curriculum_epochs=1)
    config = dataclasses.replace(plain, quadratic_duration=5.0)
    for number in (1, 2):
        limits = []
        for one in (plain, config):
            batches = epoch(cuts, one, number)
            ids = [cut_id for batch in batches for cut_id in batch["cut_ids"]]
            assert sorted(ids) == sorted(cut.id for cut in cuts)
            limits.append(max(len(b["cut_ids"]) * float(b["duration_sec"].max()) ** 2 for b in batches))
        assert limits[1] < limits[0]


def test_the_largest_batches_are_those_of_the_first_epochs(cuts):
    config = dataclasses.replace(CONFIG, curriculum_epochs=1, curriculum_max_duration=8.0)
    found = dict(largest_batches(cuts, config, SPEC, seed=7))
    every = [batch for number in (1, 2) for batch in epoch(cuts, config, number)]

    def size(batch):
        return len(batch["cut_ids"]) * float(batch["duration_sec"].max())

    (audio,) = [batch for name, batch in found.items() if "most padded audio" in name]
    assert size(audio) == max(size(batch) for batch in every)
    (attention,) = [batch for name, batch in found.items() if "longest attention" in name]
    assert size(attention) * float(attention["duration_sec"].max()) == pytest.approx(
        max(size(batch) * float(batch["duration_sec"].max()) for batch in every)
    )
    assert len({tuple(sorted(batch["cut_ids"])) for batch in found.values()}) == len(found)


def test_cuts_longer_than_a_batch_are_reported_and_trained_on_alone(cuts, caplog):
    config = LoaderConfig(max_duration=4.0, num_buckets=4)
    long = report_long_cuts(cuts, config)
    assert set(long) == {cut.id for cut in cuts if cut.duration > 4.0} and long
    longest = max(cuts, key=lambda cut: cut.duration)
    assert f"the longest is {longest.id} with {longest.duration:.1f} s" in caplog.text
    alone = [batch["cut_ids"] for batch in epoch(cuts, config) if set(batch["cut_ids"]) & set(long)]
    assert all(len(ids) == 1 for ids in alone) and len(alone) == len(long)
    assert report_long_cuts(cuts, LoaderConfig(max_duration=100.0)) == []


@dataclasses.dataclass(frozen=True)
class OfParts(LoaderConfig):
    """Settings of a system that learns from parts of utterances."""

    longest_sec = 2.0


def test_long_utterances_are_trained_on_in_parts_that_differ_from_epoch_to_epoch(cuts):
    config = OfParts(max_duration=20.0, num_buckets=4)

    def parts(number, **more):
        dataset = BatchDataset(SPEC, None, 7, number)
        batches = list(make_epoch_batches(cuts, config, dataset, **more))
        return {
            name: (row[:length], seconds)
            for batch in batches
            for name, row, length, seconds in zip(
                batch["cut_ids"], batch["codes"], batch["frame_lens"].tolist(), batch["duration_sec"].tolist()
            )
        }

    first, again, second, rest = parts(1), parts(1), parts(2), parts(1, start_batch=2)
    assert {*first} == {*second} == {cut.id for cut in cuts}
    moved = 0
    for cut in cuts:
        whole, (part, seconds) = torch.from_numpy(cut.load_codes()).long(), first[cut.id]
        assert len(part) == min(len(whole), 100) and seconds == pytest.approx(min(cut.duration, 2.0))
        places = [begin for begin in range(len(whole) - len(part) + 1) if whole[begin : begin + len(part)].equal(part)]
        assert places and part.equal(again[cut.id][0])
        assert cut.id not in rest or rest[cut.id][0].equal(part)
        moved += not part.equal(second[cut.id][0])
    long = [cut for cut in cuts if cut.duration > 2.1]
    assert moved > 0.8 * len(long) > 5
    assert report_long_cuts(cuts, OfParts(max_duration=2.0)) == []


def test_codes_are_divided_anew_in_each_epoch_and_alike_in_each_batch(cuts, monkeypatch):
    one = dataclasses.replace(SPEC, num_codebooks=1, codebook_sizes=(500,))
    monkeypatch.setattr("icefall_discrete.data.dataset.load_frames", lambda cut, spec: cut.load_codes()[:, :1])
    first, second = list(cuts)[:2]

    def longer(codes, seed):
        return [*codes, seed % 7]

    def batch(chosen, epoch, augment):
        dataset = BatchDataset(one, augment, seed=1, epoch=epoch, resegment=longer)
        return dataset[0, CutSet.from_cuts(chosen)]

    plain = AugmentConfig(augment_prob=0.0)
    together, alone = batch([first, second], 1, plain), batch([second], 1, plain)
    num = int(alone["frame_lens"][0])
    assert num == len(second.load_codes()) + 1 and int(together["frame_lens"][1]) == num
    assert torch.equal(together["codes"][1, :num], alone["codes"][0])
    last = [int(batch([second], epoch, plain)["codes"][0, -1, 0]) for epoch in range(1, 9)]
    assert len(set(last)) > 2
    assert int(batch([second], 1, None)["frame_lens"][0]) == num - 1
