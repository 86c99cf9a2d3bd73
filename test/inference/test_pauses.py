"""Segments cover the audio, are never too long, and end in pauses; the division is the cheapest there is."""

import itertools
import random

import numpy as np
import pytest
import torch

from icefall_discrete.inference.pauses import _cheapest_cuts, split_at_pauses

RATE = 16000


def spoken(voice, pauses_sec, noise=0.0):
    """The prompt once before each pause and once after the last; returns samples and the pauses (start, end)."""
    loud = np.flatnonzero(np.abs(voice) > 0.02)
    phrase = voice[loud[0] : loud[-1] + 1]
    parts, pauses, size = [phrase], [], len(phrase)
    for seconds in pauses_sec:
        parts += [np.zeros(int(seconds * RATE), np.float32), phrase]
        pauses.append((size, size + int(seconds * RATE)))
        size += int(seconds * RATE) + len(phrase)
    samples = np.concatenate(parts)
    samples = samples + noise * np.random.default_rng(0).standard_normal(len(samples))
    return torch.from_numpy(samples.astype(np.float32)), pauses


def check_segments(samples, segments, max_segment_sec):
    assert segments[0][0] == 0 and segments[-1][1] == len(samples)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(segments))
    assert all(0.98 <= (end - start) / RATE <= max_segment_sec for start, end in segments)


@pytest.mark.parametrize("noise", [0.0, 0.003])
@pytest.mark.parametrize("max_segment_sec", [3.0, 5.0, 12.0])
def test_cuts_are_in_pauses(voice, noise, max_segment_sec):
    samples, pauses = spoken(voice, [0.3, 0.5, 0.25, 0.8, 0.4, 0.3, 1.0, 0.35, 0.5], noise)
    segments = split_at_pauses(samples, RATE, max_segment_sec)
    check_segments(samples, segments, max_segment_sec)
    for cut, _ in segments[1:]:
        assert any(start <= cut <= end for start, end in pauses), f"cut at {cut / RATE:.2f} s is in a word"
    assert len(segments) <= 2 * len(samples) / RATE / max_segment_sec + 1


def test_short_audio_is_left_whole(voice):
    samples = torch.from_numpy(voice)
    assert split_at_pauses(samples, RATE, len(voice) / RATE) == [(0, len(voice))]
    assert len(split_at_pauses(samples, RATE, 2.0)) == 2


@pytest.mark.parametrize("kind", ["silence", "noise"])
def test_audio_without_speech_or_pauses_keeps_the_limit(kind):
    size = 61 * RATE + 7
    samples = torch.zeros(size) if kind == "silence" else torch.rand(size, generator=torch.Generator().manual_seed(0))
    segments = split_at_pauses(samples, RATE, 10.0)
    check_segments(samples, segments, 10.0)
    assert len(segments) == 7


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_other_rates(rate):
    samples = torch.rand(7 * rate, generator=torch.Generator().manual_seed(0))
    samples[3 * rate : 3 * rate + rate // 2] *= 0.001
    (_, cut), *_ = segments = split_at_pauses(samples, rate, 4.0)
    assert len(segments) == 2 and 3 * rate < cut < 3.5 * rate


def test_limit_too_small_is_refused():
    with pytest.raises(ValueError, match=r"max_segment_sec is 1\.5, expected at least 2\.0"):
        split_at_pauses(torch.zeros(RATE), RATE, 1.5)


def test_division_is_the_cheapest_of_all():
    generator = random.Random(0)
    for _ in range(200):
        size = generator.randint(6, 12)
        shortest = generator.randint(1, 2)
        longest = generator.randint(2 * shortest, 5)
        costs = [generator.random() for _ in range(size)]
        divisions = [
            cuts
            for number in range(size)
            for cuts in itertools.combinations(range(1, size), number)
            if all(shortest <= b - a <= longest for a, b in itertools.pairwise((0, *cuts, size)))
        ]
        cheapest = min(divisions, key=lambda cuts: sum(costs[cut] for cut in cuts))
        assert _cheapest_cuts(costs, shortest, longest) == list(cheapest)
