"""Manifests from elsewhere: what would run or fetch is refused, and each mistake is one sentence with file and line."""

import gzip
import json
import re

import pytest
from lhotse import Recording

from icefall_discrete.audio.reading import UnreadableAudio, load_samples
from icefall_discrete.data.corpus_files import read_headers
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifest_lines import line_of
from icefall_discrete.inference.audio_files import BadAudio, open_audio

SUPERVISION = {"id": "s", "recording_id": "r", "start": 0.0, "duration": 1.0, "channel": 0, "text": "a b"}


def recording(kind="file", source="a.wav"):
    sources = [{"type": kind, "channels": [0], "source": source}]
    return {"id": "r", "sources": sources, "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0}


def cut(**changes):
    values = {"id": "utt1", "start": 0.0, "duration": 1.0, "channel": 0, "type": "MonoCut"}
    return {**values, "recording": recording(), "supervisions": [SUPERVISION], **changes}


def supervised(**changes):
    return cut(supervisions=[{**SUPERVISION, **changes}])


def array(kind):
    stored = {"storage_type": kind, "storage_path": "touch marker |", "storage_key": "a", "shape": [50, 1]}
    return {"array": stored, "temporal_dim": 0, "frame_shift": 0.02, "start": 0.0}


def without(name):
    values = cut()
    del values[name]
    return values


def refused(tmp_path, line):
    """The sentence that a manifest with this as its second line is refused with, whichever way it is read."""
    path = tmp_path / "train.jsonl"
    text = line if isinstance(line, str) else json.dumps(line)
    path.write_text(json.dumps(cut(id="utt0")) + "\n" + text + "\n", encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        load_cuts(path)
    with pytest.raises(ValueError, match=re.escape(str(caught.value))):
        list(load_cuts(path, lazy=True))
    message = str(caught.value)
    assert f"{path}: line 2" in message and "\n" not in message and "delete" not in message and len(message) < 600
    return message


def reverberated(source):
    step = {"name": "ReverbWithImpulseResponse", "kwargs": {"rir": source}}
    return {**recording(), "transforms": [step]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (cut(recording=recording("command", "touch marker; cat a.wav")), "'command' would run a command .*touch"),
        (cut(recording=recording("url", "https://example.org/a.wav")), "'url' would be fetched"),
        (cut(recording=recording("shar", "")), "'shar' is to be found elsewhere"),
        (cut(recording=recording("new", "a")), "type 'new' is unknown"),
        (cut(recording=recording("file", "a;touch marker;.sph")), "a shell takes for commands; rename"),
        (cut(recording=reverberated(recording("command", "touch marker"))), "'command' would run"),
        (cut(custom={"target": recording("command", "touch marker")}), "'command' would run"),
        (supervised(custom={"target": recording("command", "touch marker")}), "'command' would run"),
        (
            {"id": "utt1", "type": "MixedCut", "tracks": [{"type": "MonoCut", "cut": cut(recording=recording("url"))}]},
            "'url' would be fetched",
        ),
        (cut(custom={"codes": array("kaldiio")}), 'an array is stored as "kaldiio", expected one of flat_archive'),
        (cut(custom={"codes": array("lilcom_url")}), 'stored as "lilcom_url"'),
        (cut(custom={"codes": array("memory_raw")}), 'stored as "memory_raw"'),
        (cut(custom={"codes": array(None)}), "stored as null"),
    ],
)
def test_what_runs_or_fetches_is_refused(tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    found = refused(tmp_path, line)
    assert re.search(message, found) and "cut utt1: " in found
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("null", "it is null, expected an object"),
        ("5", "it is a number, expected an object"),
        ("[]", "it is a list, expected an object"),
        ("{}", "it has no 'type', but nothing"),
        ({"type": "MonoCut"}, "the cut has no 'id', expected text"),
        ({"type": "Wav"}, "'type' is \"Wav\", expected one of MonoCut"),
        ({"type": ["MonoCut"]}, "'type' is .*expected one of"),
        (cut(id=5), "'id' of the cut is 5, expected text"),
        (cut(id=""), "'id' of the cut is \"\", expected text that is not empty"),
        (cut(start=-1), "cut utt1: 'start' of the cut is -1, expected a number from 0"),
        (cut(duration=0), "'duration' of the cut is 0, expected a number above 0"),
        (cut(duration="1"), "'duration' of the cut is \"1\""),
        (cut(duration=True), "'duration' of the cut is true"),
        (cut(recording=[]), r"'recording' of the cut is \[\], expected an object"),
        (cut(recording={**recording(), "sampling_rate": 0}), "'sampling_rate' of its recording is 0"),
        (cut(recording={**recording(), "num_samples": 1.5}), "'num_samples' of its recording is 1.5"),
        (cut(recording={"id": "r"}), "its recording has no 'sources'"),
        (cut(supervisions={}), "'supervisions' of the cut is {}, expected a list of objects"),
        (cut(supervisions=[None]), r"'supervisions' of the cut is \[null\]"),
        (cut(supervisions=[{}]), "a supervision has no 'id'"),
        (supervised(text=5), "cut utt1: 'text' of a supervision is 5, expected text"),
        (supervised(text=["a"]), "'text' of a supervision is .*expected text"),
        (supervised(language=1), "'language' of a supervision is 1"),
        (supervised(mood="good"), "it has a key 'mood', which lhotse does not know"),
        (cut(custom=5), "'custom' of the cut is 5, expected an object"),
        (without("channel"), "cut utt1: .*'channel'"),
        ({"id": "m", "type": "MixedCut"}, "the cut has no 'tracks'"),
        ('{"type": "MonoCut", "start": NaN}', "'start' is nan, expected a finite number"),
        ('{"type": "MonoCut", "start": 1e999}', "'start' is inf"),
        ('{"type": "MonoCut", "start": -7E999}', "'start' is -inf"),
        ('{"type": "MonoCut", "start": -Infinity}', "'start' is -inf"),
        ('{"type": "MonoCut", "start": 1' + "0" * 300 + "}", "'start' is a number of 997 bits"),
        ('{"type": ' + "[" * 900 + "]" * 900 + "}", "nested too deeply"),
        ('{"type": "MonoCut", "type": "Cut"}', "'type' stands twice"),
        ('{"type": "MonoCut"', "line 2 is not valid JSON, column 19"),
        ("PK\x03\x04", "line 2 is not valid JSON, column 1"),
    ],
)
def test_what_is_no_cut_is_one_sentence(tmp_path, line, message):
    assert re.search(message, refused(tmp_path, line))


def test_a_byte_order_mark_and_blank_lines_count_for_nothing(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(cut()).encode() + b"\r\n\n  \n")
    assert [one.id for one in load_cuts(path)] == ["utt1"]


def test_a_line_of_any_length_is_not_taken_into_memory(tmp_path):
    path = tmp_path / "train.jsonl.gz"
    with gzip.open(path, "wb", 1) as stream:
        for _ in range(40):
            stream.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz: line 1: it is longer than \d+ characters"):
        load_cuts(path)


def test_a_file_of_another_kind_is_told_by_its_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\xff\xff\xff")
    (tmp_path / "a.json").write_text("[1, 2]")
    for name in ("a.wav", "a.json"):
        with pytest.raises(ValueError, match=rf"{name}.*expected a file of JSON lines, \.jsonl or \.jsonl\.gz; give a"):
            load_cuts(tmp_path / name)


def test_other_bytes_are_told_from_a_manifest(tmp_path):
    path = tmp_path / "train.jsonl.gz"
    for content in (b"<html>", json.dumps(cut()).encode(), gzip.compress(b"\xff\xfe" * 9), gzip.compress(b"x")[:-9]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"train\.jsonl\.gz(: line 1)? is (damaged|not valid JSON)"):
            load_cuts(path)


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("command", "touch marker", "would run a command"),
        ("url", "file:///etc/passwd", "would be fetched"),
        ("file", "a$(touch marker).sph", "takes for commands"),
        ("file", "http://127.0.0.1:9/a.wav", "the file does not exist"),
        ("file", "/dev/zero", "it is not a file"),
        ("file", ".", "it is not a file"),
        ("file", "a\0.wav", "null byte"),
    ],
)
def test_audio_is_only_read_from_files(tmp_path, monkeypatch, kind, source, message):
    """As the reader of audio refuses it too, whatever made the cut."""
    monkeypatch.chdir(tmp_path)
    made = Recording.from_dict(recording(kind, source)).to_cut()
    with pytest.raises(UnreadableAudio, match=rf"(?s)cut r: cannot read .*{message}"):
        load_samples(made, 16000)
    assert not (tmp_path / "marker").exists()


def test_a_name_is_never_given_to_a_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a;touch marker;.sph"
    path.write_bytes(b"NIST_1A\n   1024\n" + bytes(2000))
    with pytest.raises(BadAudio, match="a shell takes for commands"):
        open_audio(path.name)
    assert "a shell takes for commands" in read_headers({"a": path}, 1).unusable["a"]
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\u2028b", "a\x85b", "\x1cb", "  ", "\ud800"])
def test_ids_that_no_line_could_hold_are_refused(tmp_path, name):
    assert "'id' of the cut is" in refused(tmp_path, cut(id=name))


def test_any_other_id_is_taken(tmp_path):
    path = tmp_path / "train.jsonl"
    ids = ["timestamp_1", "meeting0_sp1", "meeting0_sp2", "a b", "ñ/ö:[x]", "\u3000x"]
    path.write_text("".join(json.dumps(cut(id=name)) + "\n" for name in ids), encoding="utf-8")
    assert list(load_cuts(path).ids) == ids


def test_what_is_null_is_absent_and_a_key_that_lhotse_lacks_is_named(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(cut(supervisions=None, custom=None)) + "\n")
    (found,) = load_cuts(path)
    assert found.supervisions == []
    assert "it has a key 'foo', which lhotse does not know" in refused(tmp_path, cut(foo=1))


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(cut()), encoding="utf-16")
    with pytest.raises(ValueError, match="UTF-16, not UTF-8"):
        load_cuts(path)


def test_a_cut_is_written_as_lhotse_writes_it(tmp_path):
    step = {"name": "Speed", "kwargs": {"factor": 0.9}}
    alignment = {"word": [["a", 0.0, 0.5, 1.0], ["b", 0.5, 0.5, None]]}
    lines = (
        cut(recording={**recording(), "transforms": [step]}),
        cut(
            supervisions=[{**SUPERVISION, "custom": {"mood": None, "tags": ["x", {"y": None}]}, "alignment": alignment}]
        ),
        cut(recording=None, custom={"codes": array("lilcom_files"), "other": recording()}),
        {"type": "MultiCut", **{key: value for key, value in cut().items() if key != "type"}, "channel": [0, 1]},
    )
    path = tmp_path / "cuts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    cuts = list(load_cuts(path, lazy=True))
    for one in (*cuts, cuts[0].pad(duration=2.0), cuts[0].perturb_speed(1.1)):
        assert json.dumps(line_of(one)) == json.dumps(one.to_dict())
