import pytest
import torch

from icefall_discrete.data.augment import AugmentConfig, augment_frames, time_mask, warp, warp_positions


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(lens, num_codebooks=2, size=400):
    codes = torch.full((len(lens), max(lens), num_codebooks), size)
    for row, length in zip(codes, lens):
        row[:length] = torch.randint(0, size, (length, num_codebooks), generator=generator(length))
    return codes, torch.tensor(lens)


@pytest.mark.parametrize("num_frames,max_shift", [(200, 40), (82, 40), (500, 1)])
def test_warp_keeps_length_and_order_and_moves_by_at_most_the_shift(num_frames, max_shift):
    moved = False
    for seed in range(50):
        positions = warp_positions(num_frames, max_shift, generator(seed))
        assert positions.shape == (num_frames,)
        assert (positions.diff() >= 0).all() and positions.min() >= 0 and positions.max() <= num_frames - 1
        assert (positions - torch.arange(num_frames)).abs().max() <= max_shift + 1
        moved |= bool((positions != torch.arange(num_frames)).any())
    assert moved


def test_too_short_an_utterance_is_not_warped():
    for num_frames, max_shift in ((81, 40), (1, 40), (100, 0)):
        positions = warp_positions(num_frames, max_shift, generator())
        torch.testing.assert_close(positions, torch.arange(num_frames, dtype=torch.float64))


def test_warped_ids_occur_in_the_input_in_the_same_order():
    codes = torch.arange(300).unsqueeze(1)
    for seed in range(20):
        warped = warp(codes, warp_positions(300, 40, generator(seed)))
        assert (warped.diff(dim=0) >= 0).all() and set(warped.flatten().tolist()) <= set(range(300))


def test_linear_warp_of_a_ramp_is_the_positions():
    positions = warp_positions(300, 40, generator(3))
    ramp = torch.arange(300, dtype=torch.float64).unsqueeze(1)
    torch.testing.assert_close(warp(ramp, positions).squeeze(1), positions)


@pytest.mark.parametrize("rate", [25.0, 50.0, 100.0])
def test_masks_cover_at_most_their_part_and_are_as_long_in_seconds_at_any_rate(rate):
    config = AugmentConfig()
    covered = []
    for seed in range(200):
        mask = time_mask(round(12 * rate), rate, config, generator(seed))
        covered.append(mask.double().mean())
        assert mask.sum() <= config.max_frames_mask_fraction * len(mask)
    assert 0.04 < torch.stack(covered).mean() < 0.12


def test_the_number_and_width_of_masks_follow_the_paper():
    """1200 frames at 100 Hz: min(10, ceil(0.15 * 1200 / 100)) = 2 masks of at most 90 frames."""
    longest, most = 0, 0
    for seed in range(300):
        mask = time_mask(1200, 100.0, AugmentConfig(), generator(seed)).int()
        edges = torch.cat([torch.zeros(1), mask, torch.zeros(1)]).diff()
        starts, ends = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
        most = max(most, len(starts))
        if len(starts) == 2:
            longest = max(longest, int((ends - starts).max()))
    assert most == 2 and 80 <= longest <= 90


def test_padded_tails_lengths_and_the_input_stay():
    codes, lens = batch([150, 400, 3, 299])
    before = codes.clone()
    result = augment_frames(codes, lens, (400, 400), 50.0, AugmentConfig(augment_prob=1.0), generator())
    assert torch.equal(codes, before) and result.shape == codes.shape
    assert not torch.equal(result, codes)
    for row, length in zip(result, lens):
        assert (row[length:] == 400).all()


def test_a_masked_frame_is_masked_in_all_codebooks_with_the_padding_ids():
    codes, lens = batch([400])
    config = AugmentConfig(augment_prob=1.0, time_warp_sec=0.0)
    result = augment_frames(codes, lens, (400, 777), 50.0, config, generator(1))
    changed = (result != codes).any(dim=2)
    assert changed.any() and (result[changed] == torch.tensor([400, 777])).all()


def test_the_same_generator_state_gives_the_same_result_and_a_row_does_not_depend_on_padding():
    codes, lens = batch([200, 150])
    config = AugmentConfig()
    first = augment_frames(codes, lens, (400, 400), 50.0, config, generator(5))
    assert torch.equal(first, augment_frames(codes, lens, (400, 400), 50.0, config, generator(5)))
    wider = torch.nn.functional.pad(codes, (0, 0, 0, 30), value=400)
    assert torch.equal(first, augment_frames(wider, lens, (400, 400), 50.0, config, generator(5))[:, :200])


def test_features_are_masked_with_zero():
    features = torch.rand(1, 400, 80) + 1
    config = AugmentConfig(augment_prob=1.0)
    result = augment_frames(features, torch.tensor([400]), (0.0,) * 80, 100.0, config, generator(1))
    masked = (result == 0).all(dim=2)
    assert masked.any() and (result[~masked] >= 1).all() and result.dtype == torch.float32


def test_probability_zero_and_early_epochs_change_nothing():
    codes, lens = batch([200])
    config = AugmentConfig(augment_prob=0.0)
    assert torch.equal(codes, augment_frames(codes, lens, (400, 400), 50.0, config, generator()))
    assert [AugmentConfig(augment_start_epoch=3).is_on(epoch) for epoch in (1, 2, 3, 4)] == [False, False, True, True]
    with pytest.raises(ValueError, match=r"augment_prob is 1\.5"):
        AugmentConfig(augment_prob=1.5)
