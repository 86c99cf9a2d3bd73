"""Other pieces for the same units: the distribution is Kudo's, the draw depends on its seed, and training resumes."""

import collections
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig, time_mask
from icefall_discrete.systems.unit_dropout import piece_sampler
from icefall_discrete.tokenizers.formats.piece_sampling import PieceSampler
from icefall_discrete.tokenizers.formats.unit_pieces import UnitPieces, as_characters, train_pieces

UNITS = [0, 1, 0, 1, 2, 0, 1]
SPEC = FeatureSpec("units_bpe", "codes", 16000, 20.0, 1, (9,), 0, {"pieces_sha256": "x"})


def trained(model_type):
    generator = np.random.default_rng(0)
    texts = [[0, 1] * 3 + list(generator.integers(0, 3, 12)) for _ in range(40)]
    return train_pieces((as_characters([int(unit) for unit in text]) for text in texts), 3, 9, model_type)


@pytest.fixture(scope="module")
def unigram():
    return UnitPieces(trained("unigram"))


def divisions(pieces, units):
    """All ways to write some units as pieces."""
    ids = {tuple(pieces.units_of(piece)): piece for piece in range(len(pieces))}
    found = []
    for cuts in itertools.product((False, True), repeat=len(units) - 1):
        bounds = [0, *[place + 1 for place, cut in enumerate(cuts) if cut], len(units)]
        parts = [tuple(units[start:end]) for start, end in itertools.pairwise(bounds)]
        if all(part in ids for part in parts):
            found.append(tuple(ids[part] for part in parts))
    return found


def test_a_division_is_drawn_with_its_probability_to_the_power_of_alpha(unigram):
    alpha, number = 0.4, 4000
    every = divisions(unigram, UNITS)
    weights = {one: math.exp(alpha * sum(unigram.scores[piece] for piece in one)) for one in every}
    sampler = PieceSampler(unigram, alpha)
    shortest = list(min(every, key=len))
    drawn = collections.Counter(tuple(sampler(shortest, seed)) for seed in range(number))
    assert len(every) > 5 and set(drawn) <= set(every)
    for one, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(drawn[one] / number - share) < 5 * math.sqrt(share / number)
    assert sampler(shortest, 7) == sampler(shortest, 7)


def test_the_most_probable_division_is_sentencepieces_and_none_has_fewer_pieces_than_there_were(unigram):
    best = unigram.encode(UNITS)
    assert max(divisions(unigram, UNITS), key=lambda one: sum(unigram.scores[piece] for piece in one)) == tuple(best)
    assert PieceSampler(unigram, 1000.0)(best, 3) == best
    single = [piece for unit in UNITS for piece in range(len(unigram)) if unigram.units_of(piece) == [unit]]
    assert PieceSampler(unigram, 0.4)(single, 3) == single  # all others are shorter


def test_merges_are_left_out_with_a_probability():
    pieces = UnitPieces(trained("bpe"))
    best = pieces.encode(UNITS)
    single = [piece for unit in UNITS for piece in range(len(pieces)) if pieces.units_of(piece) == [unit]]
    assert pieces.is_merged and len(best) < len(single)
    assert PieceSampler(pieces, 1e-9)(best, 1) == best and PieceSampler(pieces, 1.0)(best, 1) == single
    drawn = {tuple(PieceSampler(pieces, 0.4)(best, seed)) for seed in range(60)}
    assert len(drawn) > 3 and all([unit for piece in one for unit in pieces.units_of(piece)] == UNITS for one in drawn)


def test_features_without_pieces_and_lost_pieces_are_named(tmp_path):
    config = AugmentConfig(unit_bpe_alpha=0.4)
    assert piece_sampler(tmp_path, SPEC, AugmentConfig()) is None
    with pytest.raises(ValueError, match=r"unit_bpe\.model is missing, from which unit_bpe_alpha draws; run stage 3"):
        piece_sampler(tmp_path, SPEC, config)
    with pytest.raises(ValueError, match="feature type 'units_bpe' are no pieces of units; set it to 0"):
        piece_sampler(tmp_path, dataclasses.replace(SPEC, provenance={}), config)


def test_espnets_masks_are_parts_of_the_utterance():
    config = AugmentConfig(num_frame_masks=1, frames_mask_fraction=0.05)
    generator = torch.Generator().manual_seed(0)
    widths = [int(time_mask(200, 50.0, config, generator).sum()) for _ in range(400)]
    assert set(widths) == set(range(10))  # 0 to floor(.05 T) - 1
    assert not time_mask(19, 50.0, config, generator).any() and not time_mask(39, 50.0, config, generator).any()
    ten = AugmentConfig(num_frame_masks=10, frames_mask_fraction=0.05)
    share = np.mean([float(time_mask(1000, 50.0, ten, generator).float().mean()) for _ in range(200)])
    assert 0.19 < share < 0.25  # 1 - (1 - .0245)^10 = .22, overlaps included
