"""A split is planned and extracted without its cuts in memory, and is the same on every reading."""

import numpy as np
import pytest
from lhotse import MonoCut, Recording
from lhotse.audio import AudioSource
from watched_cuts import WatchedCuts

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.distinct import SeenIds
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction.encoding import EncodedBatch, Flips
from icefall_discrete.extraction.planning import Plan

NUM_CUTS, BATCH_SEC = 60, 6.0


class MadeUp(WatchedCuts):
    """Cuts of a second."""

    def __init__(self, num_cuts=NUM_CUTS):
        super().__init__(lambda: map(self._made, range(num_cuts)))

    def _made(self, number):
        recording = Recording(f"r{number}", [AudioSource("file", [0], f"{number}.wav")], 16000, 16000, 1.0)
        return MonoCut(f"cut-{number:02d}", 0.0, 1.0, 0, recording=recording)


class StandIn:
    spec, sample_rate_hz, needs_language = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0), 16000, False

    def to(self, device, dtype):
        pass

    def why_not_elsewhere(self):
        return "it has no network"

    def codebooks(self):
        return None


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def encoded(jobs, *_):
        for index, cuts in jobs:
            codes = [np.full((50, 1), int(cut.id[4:6]), np.int16) for cut in cuts]
            yield EncodedBatch(index, codes, 0.0, Flips())

    monkeypatch.setattr(extraction, "encode_in_order", encoded)
    monkeypatch.setattr(extraction, "BATCH_SEC", BATCH_SEC)


def test_no_more_cuts_are_held_than_those_of_a_few_batches(tmp_path):
    cuts = MadeUp()
    extraction.extract(cuts, StandIn, tmp_path, "train", extraction.ExtractionConfig(speed_factors=(1.0, 0.9)))
    assert cuts.readings >= 4 and cuts.most <= 3 * BATCH_SEC
    found = list(load_cuts(tmp_path / "train.jsonl.gz"))
    assert [cut.id for cut in found] == [
        f"cut-{number:02d}{suffix}" for suffix in ("", "_sp0.9") for number in range(NUM_CUTS)
    ]
    assert all((cut.load_custom("codes") == int(cut.id[4:6])).all() for cut in found[::7])


def test_batches_are_cuts_in_a_row_and_those_asked_for():
    plan = Plan(MadeUp(20), (1.0,), BATCH_SEC)
    plan.check("train", StandIn(), False)
    assert list(plan.sizes) == [6, 6, 6, 2] and list(plan.seconds) == [6.0, 6.0, 6.0, 2.0]
    ids = {index: [cut.id for cut in batch] for index, batch in plan.batches([1, 3])}
    assert ids == {1: [f"cut-{number:02d}" for number in range(6, 12)], 3: ["cut-18", "cut-19"]}


def test_cuts_that_are_changed_between_two_readings_are_refused(tmp_path):
    class Changing(MadeUp):
        def __iter__(self):
            for cut in super().__iter__():
                if self.readings > 2 and cut.id == "cut-31":
                    cut.id = "another"
                yield cut

    with pytest.raises(ValueError, match="the cuts were changed while they were extracted; rerun the same command"):
        extraction.extract(Changing(), StandIn, tmp_path, "train")
    assert not (tmp_path / "train.jsonl.gz").exists()
    whole = extraction.extract(MadeUp(), StandIn, tmp_path, "train")
    assert whole["num_cuts"] == NUM_CUTS


def test_ids_that_repeat_are_counted():
    ids, seen = ["a", "b", "a", "c", "b", "a"], SeenIds()
    for one in ids:
        seen.add(one)
    assert seen.repeated(ids) == {"a": 3, "b": 2} and len(seen) == 6
    assert seen.were(2, ["a", "c"]) and not seen.were(2, ["a", "b"])
    assert SeenIds().repeated([]) == {}
