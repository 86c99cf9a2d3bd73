"""Checks of a corpus name what is wrong and how much of it; manifests are validated, whole, and written one by one."""

import hashlib
import urllib.error

import pytest
from lhotse.utils import fastcopy
from toy_corpus import make_cuts

from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import (
    CorpusError,
    checked_cuts,
    explained_download,
    listed,
    manifest_path,
    md5_of,
    require_count,
    require_md5,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    return make_cuts(tmp_path_factory.mktemp("cuts"), 6)


def with_text(cut, text):
    return fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text=text)])


def test_listed_shows_a_few_names():
    assert listed(["c", "a", "b"]) == "a, b, c"
    assert listed("fbdace") == "a, b, c and 3 more"


def test_missing_parts_are_counted_and_named(tmp_path):
    (tmp_path / "dev").mkdir()
    require_paths(tmp_path, ["dev"], "fetch it")
    with pytest.raises(CorpusError, match=r"lacks 2 of 3 parts \(test, train\); fetch it\.$"):
        require_paths(tmp_path, ["train", "dev", "test"], "fetch it")
    with pytest.raises(CorpusError, match=r"nowhere does not exist; fetch it\.$"):
        require_paths(tmp_path / "nowhere", ["dev"], "fetch it")


@pytest.mark.parametrize(
    "transcribed, recorded, message",
    [
        ("abc", "ab", r"dev: 1 transcript has no audio \(c\); do it\.$"),
        ("ab", "abcdef", r"dev: 4 audio files have no transcript \(c, d, e and 1 more\); do it\.$"),
        ("ax", "ay", r"1 transcript has no audio \(x\) and 1 audio file has no transcript \(y\)"),
        ("", "", r"dev: it holds no utterance; do it\.$"),
    ],
)
def test_transcripts_and_audio_must_be_of_the_same_utterances(transcribed, recorded, message):
    require_pairs("dev", {"a"}, {"a"}, "do it")
    with pytest.raises(CorpusError, match=message):
        require_pairs("dev", set(transcribed), set(recorded), "do it")


def test_another_count_or_checksum_is_refused(tmp_path):
    require_count("dev", 3, 3, "look")
    with pytest.raises(CorpusError, match=r"dev has 2 utterances, the published corpus has 3; look\.$"):
        require_count("dev", 2, 3, "look")
    archive = tmp_path / "dev.tar.gz"
    archive.write_bytes(bytes(range(256)) * 9000)  # more than one block
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    assert md5_of(archive) == digest
    require_md5(archive, digest)
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(CorpusError, match=rf"dev\.tar\.gz has MD5 \w+, expected {digest}; move it aside and run"):
        require_md5(archive, digest)


def test_a_failed_download_says_what_to_put_where():
    with (
        pytest.raises(
            CorpusError, match=r"cannot fetch dev: no route\. Check the network .* elsewhere: put it there\.$"
        ),
        explained_download("dev", "put it there"),
    ):
        raise urllib.error.URLError("no route")
    with pytest.raises(CorpusError, match=r"^it is bad$"), explained_download("dev", "put it there"):
        raise CorpusError("it is bad")


def test_each_utterance_of_a_recording_is_a_cut_with_the_right_audio(cuts):
    whole = cuts[0]
    halves = [
        fastcopy(whole.supervisions[0], id=name, start=start, duration=0.15)
        for name, start in (("b", 0.2), ("a", 0.05))
    ]
    found = list(utterance_cuts([whole.recording], halves))
    assert [cut.id for cut in found] == ["a", "b"]
    assert [cut.supervisions[0].start for cut in found] == [0.0, 0.0]
    audio = whole.load_audio()
    assert (found[1].load_audio() == audio[:, 3200:5600]).all()
    with pytest.raises(CorpusError, match="utterance b: its recording utt000 is missing"):
        list(utterance_cuts([], halves[:1]))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda cut: with_text(cut, "  "), "split dev: the text of cut utt001 is empty"),
        (lambda cut: fastcopy(cut, supervisions=[]), "split dev: cut utt001 has 0 supervisions, expected 1"),
        (lambda cut: fastcopy(cut, id="utt000"), "split dev: cut id utt000 occurs twice"),
        (lambda cut: fastcopy(cut, duration=-1.0), "split dev: cut utt001 is not valid: "),
    ],
)
def test_a_bad_cut_is_named_and_nothing_is_written(cuts, tmp_path, change, message):
    bad = [cuts[0], change(cuts[1]), *cuts[2:]]
    with pytest.raises(CorpusError, match=message):
        list(checked_cuts(bad, "split dev"))
    with pytest.raises(CorpusError, match=message):
        write_split(tmp_path, "toy", "dev", bad)
    assert list(tmp_path.iterdir()) == []


def test_a_split_is_written_from_a_generator_and_what_is_left_out_is_counted(cuts, tmp_path):
    reasons = {"utt002": "longer than 3 s", "utt004": "no words", "utt005": "no words"}
    figures = write_split(tmp_path, "toy", "dev", (cut for cut in cuts), lambda cut: reasons.get(cut.id))
    assert manifest_path(tmp_path, "toy", "dev") == tmp_path / "toy_cuts_dev.jsonl.gz"
    assert [cut.id for cut in load_cuts(tmp_path / "toy_cuts_dev.jsonl.gz")] == ["utt000", "utt001", "utt003"]
    kept = [cuts[i] for i in (0, 1, 3)]
    assert figures.num_cuts == 3 and figures.num_words == 9
    assert figures.hours == pytest.approx(sum(cut.duration for cut in kept) / 3600)
    assert figures.dropped == {"longer than 3 s": 1, "no words": 2}


def test_a_split_of_nothing_is_refused(cuts, tmp_path):
    with pytest.raises(CorpusError, match="dev: no utterance is left of 6"):
        write_split(tmp_path, "toy", "dev", cuts, lambda cut: "unwanted")


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\u2028b", "\x1cb"])
def test_an_id_that_no_line_could_hold_is_refused(cuts, name):
    with pytest.raises(CorpusError, match=r"^split dev: cut id '.*' has a tab, an end of a line or a control"):
        list(checked_cuts([cuts[0].with_id(name)], "split dev"))
