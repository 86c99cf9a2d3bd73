"""Two faults in every quick stage, at the moments that a seed draws; run.py beside it tries as many as one likes."""

import itertools
import random

import pytest
from trials import KINDS, Workshop, try_one

# Those that the others of them read from are among them.
STAGES = ("fit", "extract dev", "extract train", "check", "bpe", "shar", "train", "decode", "score", "results")
PAIRS = [pair for kinds in (KINDS[:3], KINDS[3:]) for pair in zip(STAGES, itertools.cycle(kinds))]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("faults"), only=STAGES)
    yield workshop
    workshop.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbed_stage_ends_as_if_undisturbed_or_in_a_sentence(shop, kind):
    names = [name for name, other in PAIRS if other == kind]
    verdicts = [try_one(shop, name, kind, random.Random(f"{kind} {name}")) for name in names]
    assert verdicts and not [verdict for verdict in verdicts if verdict.wrong]
