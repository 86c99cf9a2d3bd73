"""Own corpora: each format gives the same utterances, texts by rules, splits that repeat, and what is suspicious."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.own_corpora.formats.contract import Reading, find_format, known_split
from icefall_discrete.data.own_corpora.preparation import SourceConfig, read_corpus, write_corpus
from icefall_discrete.data.own_corpora.splits import divide, splits_of_speakers, splits_of_texts
from icefall_discrete.data.own_corpora.texts import TextRules, ruled
from icefall_discrete.data.small_corpora import PrepareConfig
from icefall_discrete.extraction.extract import ExtractionConfig

RATE = 8000
TEXTS = {f"s{number % 4}-u{number}": f"Word{chr(97 + number)}, and more!" for number in range(12)}


def speaker_of(name):
    return name.partition("-")[0]


def noise(number, seconds=0.5):
    return 0.1 * np.random.default_rng(number).standard_normal(int(seconds * RATE))


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """A folder for each speaker with audio of each utterance of TEXTS, and no text."""
    folder = tmp_path_factory.mktemp("own") / "corpus"
    for number, name in enumerate(TEXTS):
        (folder / speaker_of(name)).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / speaker_of(name) / f"{name}.wav", noise(number), RATE)
    return folder


def place(folder, name):
    return folder / speaker_of(name) / f"{name}.wav"


def beside(audio, folder):
    for name, text in TEXTS.items():
        target = place(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(place(audio, name))
        target.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")
    return folder


def as_list(audio, folder):
    folder.mkdir()
    (folder / "audio").symlink_to(audio)
    (folder / "words.txt").write_text("".join(f"{name} {text}\n" for name, text in TEXTS.items()), encoding="utf-8")
    for name in TEXTS:
        (folder / f"{name}.wav").hardlink_to(place(audio, name))
    return folder


def csv(audio, folder):
    folder.mkdir()
    rows = [f'{place(audio, name)},"{text}",{speaker_of(name)}' for name, text in TEXTS.items()]
    (folder / "list.csv").write_text("\n".join(["path,sentence,client_id", *rows]), encoding="utf-8")
    return folder / "list.csv"


def jsonl(audio, folder):
    folder.mkdir()
    rows = [
        {"audio_filepath": str(place(audio, name)), "duration": 9.0, "text": text, "speaker": speaker_of(name)}
        for name, text in TEXTS.items()
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "list.jsonl"


def kaldi(audio, folder):
    folder.mkdir()
    files = {
        "wav.scp": {name: place(audio, name) for name in TEXTS},
        "text": TEXTS,
        "utt2spk": {name: speaker_of(name) for name in TEXTS},
    }
    for file, lines in files.items():
        (folder / file).write_text("".join(f"{key} {value}\n" for key, value in lines.items()), encoding="utf-8")
    return folder


def recording(path, name):
    source = {"type": "file", "channels": [0], "source": str(path)}
    values = {"id": name, "sources": [source], "sampling_rate": RATE, "num_samples": RATE // 2, "duration": 0.5}
    return {**values, "channel_ids": [0]}


def lhotse(audio, folder):
    folder.mkdir()
    said = [
        {"id": name, "recording_id": name, "start": 0.0, "duration": 0.5, "channel": 0, "text": text}
        | {"speaker": speaker_of(name)}
        for name, text in TEXTS.items()
    ]
    lines = {"recordings": [recording(place(audio, name), name) for name in TEXTS], "supervisions": said}
    for kind, values in lines.items():
        with gzip.open(folder / f"x_{kind}_all.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.write("\n".join(map(json.dumps, values)))
    return folder


def huggingface(audio, folder):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    folder.mkdir()
    rows = [
        {"audio": {"bytes": place(audio, name).read_bytes(), "path": f"{name}.wav"}, "text": text}
        | {"id": name, "speaker_id": speaker_of(name)}
        for name, text in TEXTS.items()
    ]
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    return folder


MAKERS = {"folder": beside, "table": csv, "kaldi": kaldi, "lhotse_manifests": lhotse, "huggingface": huggingface}


def reading(tmp_path, **columns):
    return Reading("en", columns, 1, tmp_path / "written")


def said(found):
    return {
        cut.id.rpartition("/")[2]: (cut.supervisions[0].text, cut.supervisions[0].speaker, cut.duration)
        for cut in found.cuts
    }


@pytest.mark.parametrize("name", MAKERS)
def test_every_format_gives_the_same_utterances(name, audio, tmp_path):
    source = MAKERS[name](audio, tmp_path / "source")
    found_name, kind = find_format("auto", source)
    assert found_name == name
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    found = kind.read(source, reading(tmp_path, **({"speaker": "folder"} if name == "folder" else {})))
    if name != "huggingface":  # whose audio lies within the table
        assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    expected = {key: (text, speaker_of(key), 0.5) for key, text in TEXTS.items()}
    got = {key[-len(key.split("-", 1)[1]) - len(speaker_of(key)) - 1 :]: value for key, value in said(found).items()}
    assert {key[key.rindex("s") :]: value for key, value in got.items()} == expected
    assert not found.unusable and not found.splits
    for cut in found.cuts[:2]:
        assert cut.load_audio().shape == (1, RATE // 2) and cut.supervisions[0].language == "en"


@pytest.mark.parametrize("make", [as_list, jsonl])
def test_lists_and_json_lines(make, audio, tmp_path):
    _, kind = find_format("auto", make(audio, tmp_path / "source"))
    found = kind.read(tmp_path / "source" if make is as_list else tmp_path / "source" / "list.jsonl", reading(tmp_path))
    assert sorted(cut.supervisions[0].text for cut in found.cuts) == sorted(TEXTS.values())


def test_segments_of_kaldi_and_splits_of_folders(audio, tmp_path):
    for split in ("train", "valid"):
        folder = kaldi(audio, tmp_path / split)
        name = next(iter(TEXTS))
        (folder / "segments").write_text(f"{split}-a {name} 0.1 0.3\n{split}-b {name} 0.3 -1\n")
        (folder / "text").write_text(f"{split}-a one\n{split}-b two\n")
    found = find_format("auto", tmp_path)[1].read(tmp_path, reading(tmp_path))
    assert {cut.id: (round(cut.start, 3), round(cut.duration, 3)) for cut in found.cuts} == {
        f"{split}-{part}": (start, 0.2) for split in ("train", "valid") for part, start in (("a", 0.1), ("b", 0.3))
    }
    assert found.splits == {"train-a": "train", "train-b": "train", "valid-a": "dev", "valid-b": "dev"}


def test_a_command_in_wav_scp_is_refused_and_not_run(audio, tmp_path):
    folder = kaldi(audio, tmp_path / "data")
    (folder / "wav.scp").write_text(f"a touch {tmp_path}/ran |\n")
    with pytest.raises(CorpusError, match=r"wav\.scp: recording a is 'touch .*a command or nothing, expected a file"):
        find_format("kaldi", folder)[1].read(folder, reading(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_manifest_that_runs_something_is_refused(audio, tmp_path):
    folder = lhotse(audio, tmp_path / "source")
    path = folder / "x_recordings_all.jsonl.gz"
    text = gzip.decompress(path.read_bytes()).decode().replace('"type": "file"', '"type": "command"', 1)
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=r"x_supervisions_all.jsonl.gz: line 1: .*would run a command"):
        find_format("auto", folder)[1].read(folder, reading(tmp_path))


def test_mistakes_in_tables_are_named(audio, tmp_path):
    path = csv(audio, tmp_path / "source")
    kind = find_format("auto", path)[1]
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0].replace("sentence", "said"), *lines[1:]]))
    with pytest.raises(CorpusError, match="none that is known to hold the text; name it, such as --columns text=NAME"):
        kind.read(path, reading(tmp_path))
    assert len(kind.read(path, reading(tmp_path, text="said")).cuts) == len(TEXTS)
    with pytest.raises(CorpusError, match="has no column 'heard'; it has path, said, client_id"):
        kind.read(path, reading(tmp_path, text="heard"))
    path.write_text("\n".join([*lines, "a.wav"]))
    with pytest.raises(CorpusError, match="row 14 has 1 fields, the header 3"):
        kind.read(path, reading(tmp_path))
    path.write_text("\n".join([*lines, "gone.wav,a text,s0"]))
    assert kind.read(path, reading(tmp_path)).unusable == {"gone": "the file does not exist"}


@pytest.mark.parametrize(
    "header, row, sentence",
    [
        ("path,sentence,start", "a.wav,one,nan", "row 2: 'start' is 'nan', expected a number of seconds"),
        ("path,sentence,start", "a.wav,one,1e308", "row 2: 'start' is '1e308', expected a number of seconds"),
        ("path,sentence,start,end", "a.wav,one,0,inf", "row 2: 'end' is 'inf', expected a number of seconds"),
        ("path,sentence", 'a.wav,"one\nb.wav,two', r"row 2 \('a\.wav'\) has a quote that nothing closes"),
    ],
)
def test_rows_that_mean_nothing_are_named(header, row, sentence, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(CorpusError, match=sentence):
        find_format("table", path)[1].read(path, reading(tmp_path))


def test_times_of_kaldi_are_numbers_and_end_after_they_begin(audio, tmp_path):
    folder = kaldi(audio, tmp_path / "data")
    name = next(iter(TEXTS))
    (folder / "text").write_text("a one\nb two\n")
    (folder / "segments").write_text(f"a {name} 0 nan\n")
    with pytest.raises(CorpusError, match=r"segments, line 1 is .* expected an utterance, a recording, and two times"):
        find_format("kaldi", folder)[1].read(folder, reading(tmp_path))
    (folder / "segments").write_text(f"a {name} 0.1 0.4\nb {name} 0.3 0.2\n")
    found = find_format("kaldi", folder)[1].read(folder, reading(tmp_path))
    assert [cut.id for cut in found.cuts] == ["a"] and "ends before it begins" in found.unusable["b"]


def test_names_of_other_encodings_and_of_one_stem(audio, tmp_path):
    """The first are left out by a name that can be written; the second are named, for one of them must go."""
    folder = beside(audio, tmp_path / "source")
    path = place(folder, next(iter(TEXTS)))
    strange = os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.wav")
    path.rename(strange)
    path.with_suffix(".txt").rename(Path(strange).with_suffix(".TXT"))
    found = find_format("folder", folder)[1].read(folder, reading(tmp_path))
    assert len(found.cuts) == len(TEXTS) - 1
    assert found.unusable == {'"caf\\udce9.wav"': "its name is not in UTF-8; rename the file"}
    other = next(folder.rglob("s1*.wav"))
    other.with_suffix(".flac").hardlink_to(other)
    with pytest.raises(CorpusError, match=rf"{other.stem}', of {other.stem}\.flac and {other.name}; give each"):
        find_format("folder", folder)[1].read(folder, reading(tmp_path))


@pytest.mark.parametrize("make", [csv, jsonl])
def test_ids_of_whole_paths_leave_out_the_folder_that_all_share(make, audio, tmp_path):
    path = make(audio, tmp_path / "source")
    found = find_format("auto", path)[1].read(path, reading(tmp_path))
    expected = {str(place(audio, name).relative_to(audio).with_suffix("")).replace("/", "-") for name in TEXTS}
    assert {cut.id for cut in found.cuts} == expected


def test_what_is_no_text_is_named(audio, tmp_path):
    path = jsonl(audio, tmp_path / "source")
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0].replace('"text": "', '"text": "\\ud800'), *lines[1:]]))
    with pytest.raises(CorpusError, match=r"list\.jsonl: '.ud800Word.* holds half a character, which is no text"):
        find_format("auto", path)[1].read(path, reading(tmp_path))
    path.write_text("\n".join([lines[0].replace("{", '{"id": "a\\u0000\\u001b[2J", ', 1), *lines[1:]]))
    assert "a-[2J" in {cut.id for cut in find_format("auto", path)[1].read(path, reading(tmp_path)).cuts}
    beside(audio, tmp_path / "folder")
    place(tmp_path / "folder", next(iter(TEXTS))).with_suffix(".txt").write_bytes(b"some words and\0more")
    with pytest.raises(ValueError, match=r"\.txt: line 1 has the character NUL, which no text has"):
        find_format("folder", tmp_path / "folder")[1].read(tmp_path / "folder", reading(tmp_path))


def test_what_is_no_corpus_is_said(tmp_path):
    with pytest.raises(CorpusError, match="does not exist"):
        find_format("auto", tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"is of no known format; say which .*known: folder, huggingface"):
        find_format("auto", tmp_path)
    cut_short = tmp_path / "train.jsonl.gz"
    cut_short.write_bytes(gzip.compress(b'{"id": "a"}\n' * 99)[:-9])
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz is damaged after line \d+|train\.jsonl\.gz: line 1"):
        find_format("auto", cut_short)[1].read(cut_short, Reading("en", {}, 1, tmp_path))


@pytest.mark.parametrize(
    "written, language, rules, expected",
    [
        ("Don’t, STOP!", "en", {}, "don't stop"),
        ("Don’t,  STOP!", "en", {"text_rule": "written"}, "Don’t, STOP!"),
        ("room 21", "en", {}, "digits, whose words nobody wrote"),
        ("room 21", "en", {"numbers": "spell"}, "room twenty one"),
        ("pokoj 21", "cs", {"numbers": "spell"}, "pokoj dvacet jedna"),
        ("room 21", "en", {"numbers": "keep"}, "room 21"),
        ("on 9/11", "en", {"numbers": "spell"}, "a number that may be said in several ways"),
        ("so <noise> it is", "en", {}, "tags, which are no words"),
        ("so [laughs] it is", "en", {"tags": "remove"}, "so it is"),
        ("...", "en", {}, "no words"),
        (
            "so \x1b[2J",
            "en",
            {"text_rule": "written", "tags": "keep", "numbers": "keep"},
            "control characters, which nobody says",
        ),
    ],
)
def test_texts_by_rules(written, language, rules, expected):
    assert expected in ruled(written, language, TextRules(**rules))


def test_a_language_without_numbers_is_said():
    with pytest.raises(ValueError, match="does not know the numbers of language 'qu'"):
        ruled("1", "qu", TextRules(numbers="spell"))


def test_names_of_splits():
    names = ["train-clean-100", "x_cuts_valid.jsonl.gz", "Test", "strain", "train_dev", "validation"]
    assert [known_split(name) for name in names] == ["train", "dev", "test", None, None, "dev"]


def test_splits_by_text_and_by_speaker_repeat():
    texts = [f"text {number}" for number in range(1000)]
    by_text = splits_of_texts(texts)
    counts = {split: list(by_text.values()).count(split) for split in ("train", "dev", "test")}
    assert sum(counts.values()) == 1000 and 70 < counts["dev"] < 130 and 70 < counts["test"] < 130
    more = splits_of_texts([*texts, "another"])
    assert {text: more[text] for text in texts} == by_text  # a corpus that grows keeps its splits
    assert sorted(splits_of_texts(["a", "b", "c"]).values()) == ["dev", "test", "train"]
    seconds = {f"speaker {number}": 10.0 + number for number in range(40)}
    by_speaker = splits_of_speakers(seconds)
    for split in ("dev", "test"):
        share = sum(seconds[name] for name in by_speaker if by_speaker[name] == split) / sum(seconds.values())
        assert 0.1 <= share <= 0.2
    assert not splits_of_speakers({"a": 1.0, "b": 1.0, "c": 1.0})


def config(source, **changes):
    return SourceConfig(source=str(source), language="en", **changes)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A corpus with a silent, a clipped and a copied utterance, one with too much text, one with a tag."""
    folder = tmp_path_factory.mktemp("strange") / "corpus"
    folder.mkdir()
    for number in range(30):
        samples = noise(29 if number == 28 else number, 0.5)
        samples = {0: 0 * samples, 1: np.clip(20 * samples, -1, 1)}.get(number, samples)
        soundfile.write(folder / f"u{number:02d}.wav", samples, RATE)
        text = {2: "far " * 40, 3: "<noise> so"}.get(number, f"it is number {chr(97 + number % 26)}")
        (folder / f"u{number:02d}.txt").write_text(text)
    return folder


def test_what_is_suspicious_is_reported(strange, tmp_path):
    contents = read_corpus(config(strange), "Strange", tmp_path, 1, 1000).contents
    found = {one.id: one.what for one in contents.suspicions}
    assert found.keys() == {"u00", "u01", "u02", "u29"}
    assert found["u00"].startswith("silent") and found["u01"].startswith("clipped")
    assert found["u02"].startswith("too much text") and found["u29"].startswith("the same audio as u28")
    assert contents.dropped == {"tags, which are no words": 1}
    path = write_corpus(contents, "strange", tmp_path, 16000)
    page = path.read_text(encoding="utf-8")
    assert "| all | 0.004 | 29 |" in page and "2 texts occur more than once" in page and "| 8000 | 1 | 29 |" in page
    every = [cut for split in ("train", "dev", "test") for cut in load_cuts(_manifest(tmp_path, split))]
    assert len(every) == 29 and {cut.sampling_rate for cut in every} == {16000}
    by_text = {}
    for split in ("train", "dev", "test"):
        for cut in load_cuts(_manifest(tmp_path, split)):
            assert by_text.setdefault(cut.supervisions[0].text, split) == split
    rest = read_corpus(config(strange, exclude=str(tmp_path / "suspicious.tsv")), "Rest", tmp_path, 1, 0).contents
    assert len(rest.cuts) == 25 and rest.dropped["excluded by its id"] == 4


def test_settings_that_leave_nothing_to_train_on_are_refused(strange, tmp_path):
    with pytest.raises(CorpusError, match=r"no utterance is left to train on: all 2\d .* longer than 0\.4 s; give"):
        read_corpus(config(strange, longest=0.4), "x", tmp_path, 1, 0)
    for rate in (0, 16, 10**12):
        with pytest.raises(ValueError, match=f"sample_rate.* {rate}, .*at least 1000"):
            from_dict(SourceConfig, {"source": str(strange), "sample_rate": rate}, "test")


def test_processes_and_lists_that_are_none_are_refused(strange, tmp_path):
    with pytest.raises(ValueError, match=r"--exclude .*nowhere is no file; give a list of ids"):
        read_corpus(config(strange, exclude=str(tmp_path / "nowhere")), "x", tmp_path, 1, 0)
    for made in (PrepareConfig, ExtractionConfig):
        for number in (0, 10**12):
            with pytest.raises(ValueError, match=f"'nj' is {number}, .*at least 1 and at most 1024"):
                from_dict(made, {"nj": number}, "test")


def _manifest(folder, split):
    return folder / "manifests" / f"strange_cuts_{split}.jsonl.gz"


def test_ways_to_divide(strange, tmp_path):
    cuts = read_corpus(config(strange), "x", tmp_path, 1, 0).contents.cuts
    keys = {cut.id: cut.supervisions[0].text for cut in cuts}
    given = {cut.id: "test" if cut.id < "u05" else "train" for cut in cuts}
    as_given = divide(cuts, keys, given, "auto")
    assert set(as_given.splits.values()) == {"train", "dev", "test"} and as_given.told.startswith("as the source has")
    assert [name for name, split in as_given.splits.items() if split == "test"] == [n for n in given if n < "u05"]
    with pytest.raises(CorpusError, match="the source says no split of 29 utterances"):
        divide(cuts, keys, {}, "given")
    with pytest.raises(CorpusError, match="some utterances have no speaker"):
        divide(cuts, keys, {}, "speaker")
    with pytest.raises(CorpusError, match="no utterance is left for train"):
        divide(cuts[:2], keys, {}, "text")
