"""A few faults in every stage, at the moments that a seed draws; run.py beside it tries as many as one likes."""

import random

import pytest
from trials import Workshop, try_one

# Quick stages of each kind; run.py has all.
STAGES = ("fit", "extract dev", "check", "bpe", "ngram lm", "shar", "train", "average", "decode", "score", "results")
KINDS = ("kill", "full", "unreadable", "away", "changed")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("faults"))
    yield workshop
    workshop.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_ends_as_if_undisturbed_or_in_a_sentence(shop, kind):
    verdicts = [try_one(shop, name, kind, random.Random(f"{kind} {name}")) for name in shop.stages]
    assert not [verdict for verdict in verdicts if verdict.wrong]
