"""Error rates: hand-made cases, sums, agreement with kaldialign, languages, intervals."""

import random

import kaldialign
import pytest

from icefall_discrete.metrics.wer import (
    ErrorCounts,
    Transcript,
    align,
    characters_of,
    confidence_interval,
    count_errors,
    group_errors,
    total_errors,
    utterance_errors,
    words_themselves,
)


@pytest.mark.parametrize(
    "ref, hyp, expected",
    [
        ("a b c", "a b c", (3, 0, 0, 0)),
        ("a b c", "", (3, 0, 3, 0)),
        ("a b c", "a x c d", (3, 1, 0, 1)),
        ("a b c", "b c", (3, 0, 1, 0)),
        ("", "a", (0, 1, 0, 0)),
        ("", "", (0, 0, 0, 0)),
        ("* b", "*", (2, 0, 1, 0)),
    ],
)
def test_counts_of_hand_made_cases(ref, hyp, expected):
    assert count_errors(ref.split(), hyp.split()) == ErrorCounts(*expected)


def test_rate_is_a_percentage_and_may_pass_100():
    assert count_errors(["a", "b"], ["a"]).rate == 50.0
    assert count_errors(["a"], ["b", "c", "d"]).rate == 300.0


def test_rate_of_an_empty_reference_is_an_error():
    with pytest.raises(ValueError, match="at least one reference symbol"):
        _ = count_errors([], ["a"]).rate


def test_characters_leave_spaces_out_and_keep_accents():
    assert characters_of(["où", "est", "l'été"]) == list("oùestl'été")
    assert count_errors(characters_of(["ab", "c"]), characters_of(["a", "bc"])).errors == 0


def test_alignment_rebuilds_both_sides():
    pairs = align(["a", "b", "c", "d"], ["x", "b", "d", "e"])
    assert [r for r, _ in pairs if r is not None] == ["a", "b", "c", "d"]
    assert [h for _, h in pairs if h is not None] == ["x", "b", "d", "e"]


def _random_transcripts(number: int):
    generator = random.Random(7)
    words = ["one", "two", "three", "four"]
    return [
        Transcript(
            f"cut-{i:03d}",
            tuple(generator.choices(words, k=generator.randint(1, 9))),
            tuple(generator.choices(words, k=generator.randint(0, 9))),
        )
        for i in range(number)
    ]


@pytest.mark.parametrize("symbols_of", [words_themselves, characters_of])
def test_corpus_counts_are_the_sum_over_utterances_and_agree_with_kaldialign(symbols_of):
    transcripts = _random_transcripts(60)
    total = total_errors(utterance_errors(transcripts, symbols_of).values())
    expected = kaldialign.batch_error_rate(
        [symbols_of(t.ref) for t in transcripts], [symbols_of(t.hyp) for t in transcripts]
    )
    assert (total.errors, total.num_ref) == (expected["total"], expected["ref_len"])
    # Insertions and deletions of one alignment may be traded in another of equal cost, their difference may not.
    assert total.insertions - total.deletions == expected["ins"] - expected["del"]
    assert total.rate == pytest.approx(100 * expected["err_rate"])


def test_groups_add_up_to_the_total_and_are_sorted():
    counts = utterance_errors(_random_transcripts(30), words_themselves)
    groups = group_errors(counts, {cut_id: "xyz"[int(cut_id[-1]) % 3] for cut_id in reversed(list(counts))})
    assert list(groups) == ["x", "y", "z"]
    assert total_errors(groups.values()) == total_errors(counts.values())


def test_cut_without_a_group_is_named():
    with pytest.raises(ValueError, match="cut-001"):
        group_errors(utterance_errors(_random_transcripts(2), words_themselves), {"cut-000": "en"})


def test_interval_agrees_with_kaldis_bootstrap_and_is_repeatable():
    transcripts = _random_transcripts(60)
    counts = list(utterance_errors(transcripts, words_themselves).values())
    low, high = confidence_interval(counts, replications=2000)
    refs, hyps = [t.ref for t in transcripts], [t.hyp for t in transcripts]
    expected = kaldialign.bootstrap_wer_ci(refs, hyps, replications=2000)
    assert low == pytest.approx(100 * expected["ci95min"], abs=1.0)
    assert high == pytest.approx(100 * expected["ci95max"], abs=1.0)
    assert confidence_interval(counts) == confidence_interval(counts)
