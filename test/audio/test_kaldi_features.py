"""Time derivatives against their definition, written as a loop."""

import torch

from icefall_discrete.audio.kaldi_features import deltas, with_deltas


def slow_deltas(frames):
    """sum over n = 1, 2 of n (c[t + n] - c[t - n]) / (2 (1 + 4)), edges repeated."""
    last = len(frames) - 1
    result = torch.zeros_like(frames)
    for t in range(len(frames)):
        for n in (1, 2):
            result[t] += n * (frames[min(t + n, last)] - frames[max(t - n, 0)]) / 10
    return result


def test_deltas_equal_their_definition():
    for num_frames in (1, 2, 3, 17):
        frames = torch.randn(num_frames, 5, dtype=torch.float64)
        torch.testing.assert_close(deltas(frames), slow_deltas(frames))


def test_slope_of_a_line_is_constant_and_its_second_derivative_vanishes():
    line = torch.arange(20.0)[:, None] * torch.tensor([[1.0, -2.0]])
    first, second = with_deltas(line)[:, 2:4], with_deltas(line)[:, 4:]
    torch.testing.assert_close(first[2:-2], torch.tensor([1.0, -2.0]).expand(16, 2))
    torch.testing.assert_close(second[4:-4], torch.zeros(12, 2))
