"""Two views of a batch for CR-CTC: warped alike, masked apart, and masked more than one view is."""

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut, SupervisionSegment

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig, augment_frames, augment_views
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach
from icefall_discrete.data.dataset import OTHER_VIEW, BatchDataset, with_views

CODES = FeatureSpec("toy", "codes", 16000, 50.0, 2, (500, 30), 0)
FEATURES = FeatureSpec("toyf", "continuous", 16000, 50.0, 0, (), 3)
LENS = (1200, 800, 3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(kind):
    """A batch in which each frame holds its own place (from 1), so that a warp can be read off."""
    frames = torch.zeros(len(LENS), max(LENS), 2, dtype=torch.int64 if kind == "codes" else torch.float32)
    for row, length in zip(frames, LENS):
        row[:length] = torch.arange(1, length + 1).to(frames.dtype).unsqueeze(1)
    return frames, torch.tensor(LENS)


@pytest.mark.parametrize("kind", ["codes", "continuous"])
def test_views_share_the_warp_and_differ_in_their_masks(kind):
    frames, lens = numbered(kind)
    before = frames.clone()
    first, second = augment_views(frames, lens, (0, 0), 100.0, AugmentConfig(augment_prob=1.0), generator())
    assert torch.equal(frames, before)
    seen = (first != 0) & (second != 0)
    assert torch.equal(first[seen], second[seen])
    warped = first[0][seen[0]].double() - frames[0][seen[0]]
    assert warped.abs().max() > 1
    for row, length in enumerate(LENS[:2]):
        masked = [(view[row, :length] == 0).all(dim=1) for view in (first, second)]
        assert masked[0].any() and masked[1].any() and not torch.equal(*masked)
        assert not (first[row, length:] != 0).any() and not (second[row, length:] != 0).any()


def test_time_masks_grow_by_the_ratio():
    frames, lens = numbered("codes")
    share = {}
    for ratio in (1.0, 2.5):
        config = AugmentConfig(augment_prob=1.0, time_warp_sec=0.0, time_mask_ratio=ratio)
        views = [augment_views(frames, lens, (0, 0), 100.0, config, generator(seed)) for seed in range(40)]
        masked = torch.stack([(view[0, :, 0] == 0).double().mean() for pair in views for view in pair])
        assert masked.max() <= 0.15 * ratio
        share[ratio] = float(masked.mean())
    one = [augment_frames(frames, lens, (0, 0), 100.0, config, generator(seed))[0, :, 0] == 0 for seed in range(80)]
    assert share[1.0] == pytest.approx(float(torch.stack(one).double().mean()), rel=0.2)
    assert 1.8 < share[2.5] / share[1.0] < 2.8
    stronger = AugmentConfig(num_frame_masks=10, max_frames_mask_fraction=0.5).of_views()
    assert (stronger.num_frame_masks, stronger.max_frames_mask_fraction) == (25, 1.0)
    with pytest.raises(ValueError, match="time_mask_ratio is 0"):
        AugmentConfig(time_mask_ratio=0.0)


@pytest.mark.parametrize("spec", [CODES, FEATURES], ids=["codes", "continuous"])
def test_a_batch_holds_the_second_view_from_the_first_augmented_epoch_on(tmp_path, spec):
    rng = np.random.default_rng(0)
    cuts = []
    with FlatArchiveWriter(tmp_path / "train.codes") as writer:
        for index, frames in enumerate((240, 200)):
            values = rng.integers(0, 30, (frames, 2)).astype(np.int16)
            if spec.kind == "continuous":
                values = rng.standard_normal((frames, 3)).astype(np.float32)
            array = writer.store_array(str(index), values, frame_shift=0.02, temporal_dim=0)
            array.array.storage_path = str(tmp_path / "train.codes")
            supervision = SupervisionSegment(str(index), "r", 0.0, frames / 50, text="a")
            cuts.append(attach(MonoCut(f"cut-{index}", 0.0, frames / 50, 0, supervisions=[supervision]), array, spec))
    item, config = (4, CutSet.from_cuts(cuts)), AugmentConfig(augment_prob=1.0, augment_start_epoch=2)
    early = BatchDataset(spec, config, seed=1, epoch=1, num_views=2)[item]
    batch = BatchDataset(spec, config, seed=1, epoch=2, num_views=2)[item]
    again = BatchDataset(spec, config, seed=1, epoch=2, num_views=2)[item]
    key = "codes" if spec.kind == "codes" else "features"
    assert OTHER_VIEW not in early
    assert batch[OTHER_VIEW].shape == batch[key].shape == early[key].shape
    assert not torch.equal(batch[OTHER_VIEW], batch[key])
    assert torch.equal(batch[OTHER_VIEW], again[OTHER_VIEW]) and torch.equal(batch[key], again[key])
    assert torch.equal(with_views(early, spec, 2)[OTHER_VIEW], early[key])
    assert with_views(early, spec, 1) is early
