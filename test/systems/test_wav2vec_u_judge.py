"""What is said without pairs is judged without transcripts, and what nobody should learn from is told."""

import pytest

from icefall_discrete.systems.wav2vec_u.judge import (
    Candidate,
    Judge,
    by_total_log_prob,
    by_weighted_perplexity,
    doubt_of,
    verdict,
)
from icefall_discrete.systems.wav2vec_u.ladder import Language, shuffled


def test_what_is_said_is_judged_by_likeness_and_use_of_symbols():
    language = Language.made_up(8, 0)
    judge = Judge(language.lines(200, 1), 9, 3)
    like = judge.figures(language.lines(50, 2))
    assert like["weighted_ppl"] == pytest.approx(judge.text_ppl, rel=0.1) and like["symbols_seen"] == 1.0
    one_word = judge.figures([[1]] * 50)
    assert one_word["symbols_seen"] == 1 / 8 and one_word["weighted_ppl"] > 10 * judge.text_ppl
    assert judge.figures(shuffled(language.lines(50, 2), 0))["weighted_ppl"] > 2 * judge.text_ppl
    assert judge.figures([[]])["weighted_ppl"] == 1e9
    near = Candidate(0, 3.0, 1.0, 3.0, nats=500.0)
    shorter = Candidate(1, 3.3, 1.0, 3.3, nats=300.0)
    few = Candidate(2, 1.5, 0.4, 9.4, nats=100.0)
    assert by_weighted_perplexity([few, shorter, near]) is near
    assert by_total_log_prob([few, shorter, near]) is shorter
    said = [verdict(one, 3.0) for one in (near, few, Candidate(3, 9.0, 1.0, 9.0, 1.0))]
    assert said == ["near the text", "collapsed: says few of the symbols", "not near the text"]


def test_what_nobody_should_learn_from_is_told():
    near, far = Candidate(0, 3.0, 1.0, 3.0, 1.0), Candidate(1, 3.0, 0.3, 33.0, 1.0)
    assert doubt_of(verdict(near, 3.0), is_control=False) == ""
    assert doubt_of(verdict(near, 3.0), is_control=True) == "a control, whose text was in random order"
    assert doubt_of(verdict(far, 3.0), is_control=False) == "collapsed: says few of the symbols"
