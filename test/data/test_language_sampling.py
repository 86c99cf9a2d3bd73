"""Temperature sampling: shares by hand, length of an epoch, even use of every cut, exact resume."""

import dataclasses
from collections import Counter

import pytest
import torch
from lhotse import CutSet, MonoCut, SupervisionSegment

from icefall_discrete.data.cuts import language_of
from icefall_discrete.data.language_sampling import drawn_cuts, hours_by_language, language_shares
from icefall_discrete.data.loaders import LoaderConfig, count_batches, epoch_sampler

NUM = {"en": 60, "cy": 12, "eu": 5}
CONFIG = LoaderConfig(max_duration=12.0, num_buckets=4, language_temperature=4.0)


@pytest.fixture(scope="module")
def cuts():
    generator = torch.Generator().manual_seed(0)
    made = []
    for language, number in NUM.items():
        for index in range(number):
            duration = round(1.0 + 3.0 * float(torch.rand(1, generator=generator)), 4)
            supervision = SupervisionSegment(f"{language}-{index}", "r", 0.0, duration, text="a", language=language)
            made.append(MonoCut(f"{language}-{index}", 0.0, duration, 0, supervisions=[supervision]))
    return CutSet.from_cuts(made)


def test_shares_by_hand():
    hours = {"a": 9.0, "b": 1.0}
    assert language_shares(hours, 1.0) == pytest.approx({"a": 0.9, "b": 0.1})
    assert language_shares(hours, 2.0) == pytest.approx({"a": 0.75, "b": 0.25})  # square roots: 3 to 1
    assert language_shares(hours, 0.5) == pytest.approx({"a": 81 / 82, "b": 1 / 82})
    assert language_shares(hours, 1e9) == pytest.approx({"a": 0.5, "b": 0.5})


@pytest.mark.parametrize("temperature", [0.5, 2.0, 5.0, 1e6])
def test_an_epoch_is_as_long_as_the_corpus_and_has_the_shares(cuts, temperature):
    hours = hours_by_language(cuts)
    shares, whole = language_shares(hours, temperature), sum(hours.values())
    for epoch in (1, 2, 7):
        drawn = hours_by_language(drawn_cuts(cuts, temperature, epoch, seed=1))
        for language in NUM:
            assert drawn[language] == pytest.approx(shares[language] * whole, abs=4.0 / 3600)  # a cut has 4 s at most
        assert sum(drawn.values()) == pytest.approx(whole, abs=3 * 4.0 / 3600)


def test_all_cuts_of_a_language_are_drawn_equally_often(cuts):
    count = Counter()
    for epoch in range(1, 12):
        count.update(cut.id for cut in drawn_cuts(cuts, 4.0, epoch, seed=3))
        for language, number in NUM.items():
            times = [count[f"{language}-{index}"] for index in range(number)]
            assert max(times) - min(times) <= 1
    assert count["eu-0"] > 11 > count["en-0"] > 0


def test_a_language_comes_in_whole_shuffles_across_epochs(cuts):
    row = [cut.id for epoch in range(1, 9) for cut in drawn_cuts(cuts, 4.0, epoch, 5) if language_of(cut) == "eu"]
    shuffles = [row[start : start + NUM["eu"]] for start in range(0, len(row) - NUM["eu"], NUM["eu"])]
    assert len(shuffles) > 3 and all(len(set(one)) == NUM["eu"] for one in shuffles)
    assert len({tuple(one) for one in shuffles}) > 1


def batches_of(cuts, config, epoch, seed=7):
    return [[cut.id for cut in batch] for batch in epoch_sampler(cuts, config, epoch, seed)]


@pytest.mark.parametrize("curriculum_epochs", [0, 9])
def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not(cuts, curriculum_epochs):
    config = dataclasses.replace(CONFIG, curriculum_epochs=curriculum_epochs)
    one = batches_of(cuts, config, 2)
    assert one == batches_of(cuts, config, 2) and count_batches(cuts, config, 2, 7) == len(one)
    drawn = Counter(cut.id for cut in drawn_cuts(cuts, 4.0, 2, 7))
    assert Counter(cut_id for batch in one for cut_id in batch) == drawn
    for other in (batches_of(cuts, config, 3), batches_of(cuts, config, 2, seed=8)):
        assert Counter(cut_id for batch in other for cut_id in batch) != drawn


def test_temperature_one_is_the_plain_epoch(cuts):
    plain = LoaderConfig(max_duration=12.0, num_buckets=4)
    assert plain.language_temperature == 1.0
    assert sorted(cut_id for batch in batches_of(cuts, plain, 1) for cut_id in batch) == sorted(c.id for c in cuts)


def test_cuts_without_language_and_lazy_ones_are_refused(cuts, tmp_path):
    nameless = MonoCut("nameless", 0.0, 1.0, 0, supervisions=[SupervisionSegment("n", "r", 0.0, 1.0, text="a")])
    with pytest.raises(ValueError, match="cut nameless: has no language"):
        drawn_cuts(CutSet.from_cuts([*cuts, nameless]), 2.0, 1, 0)
    cuts.to_file(tmp_path / "cuts.jsonl")
    with pytest.raises(ValueError, match="cannot be read lazily"):
        drawn_cuts(CutSet.from_jsonl_lazy(tmp_path / "cuts.jsonl"), 2.0, 1, 0)
    with pytest.raises(ValueError, match="language_temperature is 0"):
        LoaderConfig(language_temperature=0.0)
