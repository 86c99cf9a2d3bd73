"""Codes and features while the audio comes: those of the whole utterance, whatever the pieces it comes in."""

import pytest
import torch
from toy_tokenizers import make_tokenizer, make_toy

from icefall_discrete.audio.as_it_comes import AsItComes, Reach, widest
from icefall_discrete.tokenizers import load_tokenizer, tokenizer_names

CAUSAL = ("fbank", "mfcc", "dmel", "fbank_kmeans", "mfcc_residual_kmeans", "mfcc_kmeans_by_language")
PIECES = (1, 7, 160, 3201, 400, 16000, 12)  # samples that come at once, in turn


def whole(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


def as_it_comes(tokenizer, samples):
    stream = AsItComes(lambda part: whole(tokenizer, part), tokenizer.reach, tokenizer.min_samples)
    found, start, turn = [], 0, 0
    while start < len(samples):
        piece = samples[start : start + PIECES[turn % len(PIECES)]]
        found.append((start + len(piece), stream.accept(piece)))
        start, turn = start + len(piece), turn + 1
    return found, stream.finish()


def assert_same(found, expected):
    assert found.shape == expected.shape
    if expected.is_floating_point():
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-5)
    else:
        assert torch.equal(found.long(), expected)


@pytest.mark.parametrize("name", CAUSAL)
def test_what_comes_in_pieces_is_what_the_whole_gives(name, speech, fit_audio, tmp_path):
    tokenizer = make_toy(name, tmp_path / "toy", fit_audio)
    for length in (tokenizer.min_samples, 16161, 31999):
        found, rest = as_it_comes(tokenizer, speech[:length])
        given = [part for _, part in found if len(part)]
        expected = whole(tokenizer, speech[:length])
        assert_same(torch.cat([*given, *([rest] if len(rest) else [])]), expected)
        # As soon as it can be: what each frame hears is there, and no frame is late.
        reach, count = tokenizer.reach, 0
        for num_samples, part in found:
            count += len(part)
            due = max(0, num_samples - reach.ahead) // reach.hop
            assert count == due or num_samples < tokenizer.min_samples


@pytest.mark.parametrize("name", ("fbank", "mfcc", "dmel"))
def test_nothing_beyond_its_reach_changes_a_frame(name, speech):
    tokenizer = make_tokenizer(name, {})
    samples, reach = speech[:16000], tokenizer.reach
    frame = 8000 // reach.hop
    before, after = frame * reach.hop - reach.behind, (frame + 1) * reach.hop + reach.ahead
    expected, other = whole(tokenizer, samples)[frame], samples.clone()
    other[:before], other[after:] = 0.3, -0.2
    assert torch.equal(whole(tokenizer, other)[frame], expected)
    # And the reach is not wider than it has to be, but for the ends of windows, which weigh little.
    other = samples.clone()
    other[after - reach.hop :] = -0.2
    assert not torch.equal(whole(tokenizer, other)[frame], expected)


def test_look_ahead():
    look_ahead = {name: load_tokenizer(name).reach.look_ahead_sec(16000) for name in ("fbank", "mfcc_km500", "dmel")}
    assert look_ahead == {"fbank": 0.0075, "mfcc_km500": 0.0825, "dmel": 0.0}
    assert load_tokenizer("mfcc_km500+fbank_km500").reach == load_tokenizer("mfcc_km500").reach
    assert load_tokenizer("mfcc_km500+dmel").reach is None  # of two hops
    assert widest([Reach(160, 1, 2), None]) is None


def test_who_hears_the_whole_has_no_reach():
    networks = ("whisper_base", "hubert_large_l24", "mimi", "encodec_6kbps", "wavlm_large_l21_km2000_rm_bpe3000")
    assert [load_tokenizer(name).reach for name in networks] == [None] * len(networks)
    assert set(CAUSAL) <= set(tokenizer_names())
