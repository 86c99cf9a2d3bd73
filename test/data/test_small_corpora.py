"""Splits by digest, subsets and counts of small corpora; those of a real corpus are tested with its recipe."""

import hashlib
import itertools
from dataclasses import dataclass

import pytest

from icefall_discrete.data import small_corpora
from icefall_discrete.data.manifests import CorpusError


@dataclass(frozen=True)
class Said:
    id: str
    language: str
    text: str
    duration: float = 1.0

    @property
    def split(self):
        return small_corpora.split_of(self.text)

    @property
    def md5(self):
        return hashlib.md5(self.id.encode()).hexdigest()


SAID = [Said(f"{language}-{i}", language, f"word {i}") for language in ("cs", "nl") for i in range(60)]


def test_split_is_the_last_digit_of_the_md5():
    keys = [f"prompt/{i}" for i in range(500)]
    for key in keys:
        last_digit = str(int.from_bytes(hashlib.md5(key.encode()).digest(), "big"))[-1]
        assert small_corpora.split_of(key) == {"0": "test", "1": "dev"}.get(last_digit, "train")
    assert {small_corpora.split_of(key) for key in keys} == set(small_corpora.SPLITS)


def test_a_subset_is_short_balanced_and_the_same_in_any_order():
    said = [*SAID, *(Said(f"long-{i}", "cs", f"long {i}", 9.0) for i in range(60))]
    kept = small_corpora.take_subset(said, 4, max_duration=2.0)
    assert kept == small_corpora.take_subset(reversed(said), 4, max_duration=2.0)
    sizes = {
        (split, language): sum(u.split == split and u.language == language for u in kept)
        for split, language in itertools.product(small_corpora.SPLITS, ("cs", "nl"))
    }
    assert set(sizes.values()) == {2} and max(u.duration for u in kept) <= 2.0


def test_the_table_counts():
    rows = [line.split() for line in small_corpora.table(SAID, ["cs", "nl"])]
    counts = [sum(u.language == "cs" and u.split == split for u in SAID) for split in small_corpora.SPLITS]
    assert rows[0] == list(small_corpora.SPLITS) and rows[1] == ["cs", *map(str, counts)]
    assert rows[3] == ["all", *(str(2 * count) for count in counts)]
    assert rows[5] == ["words", *(str(4 * count) for count in counts)]


def test_other_counts_are_refused_with_the_difference():
    counts = tuple(sum(u.language == "cs" and u.split == split for u in SAID) for split in small_corpora.SPLITS)
    words = 4 * counts[2]
    small_corpora.check_counts(SAID, ["cs", "nl"], small_corpora.Published({"cs": counts, "nl": counts}, words))
    with pytest.raises(CorpusError, match=rf"'nl' has \({counts[0]}, .*the published corpus has \(1, 2, 3\)"):
        small_corpora.check_counts(SAID, ["cs", "nl"], small_corpora.Published({"cs": counts, "nl": (1, 2, 3)}, words))
    other = small_corpora.Published({"cs": counts, "nl": counts}, 7)
    with pytest.raises(CorpusError, match=rf"the test split has {words} words, the published corpus has 7"):
        small_corpora.check_counts(SAID, ["cs", "nl"], other)
    small_corpora.check_counts([u for u in SAID if u.language == "cs"], ["cs"], other)


def touch(path):
    path.touch()


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_each_is_done_and_an_error_ends_all(tmp_path, num_jobs):
    small_corpora.do_each(touch, [tmp_path / str(i) for i in range(40)], num_jobs, "touch")
    assert len(list(tmp_path.iterdir())) == 40
    with pytest.raises(FileNotFoundError):
        small_corpora.do_each(touch, [tmp_path / "nowhere" / "x"], num_jobs, "touch")


def test_a_cut_is_all_of_its_file(tmp_path):
    cut = small_corpora.file_cut(SAID[0], tmp_path / "a.flac", 24000, 16000, None, {"font": "small"})
    supervision = cut.supervisions[0]
    assert (cut.id, cut.duration, cut.num_samples, supervision.text) == ("cs-0", 1.5, 24000, "word 0")
    assert (supervision.speaker, supervision.custom, supervision.language) == (None, {"font": "small"}, "cs")
