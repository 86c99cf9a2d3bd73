"""`icefall-discrete align`: words and pieces of known texts in time, as CTM, TextGrid and supervisions of lhotse."""

import re

import pytest
from lhotse import SupervisionSet

from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.inference.align_command import main
from icefall_discrete.inference.alignment_files import AlignedUtterance, require_own_files, text_grid, write_text_grid
from icefall_discrete.systems.asr.alignment import Aligned, Alignment
from icefall_discrete.text.alignments import read_alignments

TEXT = "one two three"


def ctm(text):
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("head", ["ctc", "transducer"])
def test_a_file_with_its_text(work, files, capsys, head):
    main("align", [str(files[0]), "--text", TEXT, "--exp-dir", str(work / "exp"), "--head", head])
    lines = ctm(capsys.readouterr().out)
    assert [line[4] for line in lines] == TEXT.split()
    assert {tuple(line[:2]) for line in lines} == {(files[0].stem, "1")}
    starts = [float(line[2]) for line in lines]
    assert starts == sorted(starts) and starts[0] >= 0 and starts[-1] + float(lines[-1][3]) <= 2.0 + 1e-3
    assert all(float(line[3]) > 0 and 0 <= float(line[5]) <= 1 for line in lines)


def test_cuts_to_a_folder(work, tmp_path, caplog):
    cuts = list(load_cuts(work / "manifests" / "toy_cuts_test.jsonl.gz"))[:4]
    texts = ["one two", "forty", "a word without a piece: ß", ""]
    for cut, text in zip(cuts, texts):
        cut.supervisions[0].text = text
    cuts[0] = cuts[0].truncate(offset=0.5, preserve_id=True)  # its times in the recording begin there
    cuts[0].supervisions[0].text = texts[0]
    write_cuts(tmp_path / "cuts.jsonl.gz", cuts)
    flags = ["--cuts", str(tmp_path / "cuts.jsonl.gz"), "--exp-dir", str(work / "exp"), "--to", str(tmp_path / "to")]
    with pytest.raises(SystemExit) as ended:
        main("align", flags)
    assert ended.value.code == 1
    said = [record.getMessage() for record in caplog.records]
    assert any(f"{cuts[2].id} cannot be aligned: its text has" in one and "which no piece" in one for one in said)
    assert f"{cuts[3].id} cannot be aligned: its text is empty." in said
    assert "2 of 4 utterances could not be aligned." in said
    lines = ctm((tmp_path / "to" / "words.ctm").read_text())
    assert [(line[0], line[4]) for line in lines] == [
        *((cuts[0].recording.id, word) for word in ("one", "two")),
        (cuts[1].recording.id, "forty"),
    ]
    assert float(lines[0][2]) >= 0.5
    found = {one.id: one for one in SupervisionSet.from_file(tmp_path / "to" / "supervisions.jsonl.gz")}
    assert (tmp_path / "to" / "supervisions.jsonl.gz").read_bytes()[4:8] == bytes(4)  # no time: same cuts, same bytes
    first = found[cuts[0].id]
    assert [item.symbol for item in first.alignment["word"]] == ["one", "two"]
    assert "".join(item.symbol for item in first.alignment["piece"]).replace("▁", " ").split() == ["one", "two"]
    grid = (tmp_path / "to" / f"{cuts[0].id}.TextGrid").read_text(encoding="utf-8")
    ends = re.findall(r"xmax = ([\d.]+)", grid)
    for files, tier in ((tmp_path / "to", "words"), (tmp_path / "to" / "words.ctm", "")):
        read = read_alignments(files, tier)
        assert [one.label for one in read[cuts[1].id]] == ["forty"]
    assert float(ends[0]) == pytest.approx(cuts[0].duration, abs=1e-3) and grid.count('text = "two"') >= 1


def test_a_text_grid_has_all_words_that_share_a_frame(tmp_path):
    times = (("a", 0.2, 0.5), ("b", 0.46, 0.5), ("c", 0.46, 0.5), ("d", 0.5, 0.54), ("e", 1.0, 1.04))
    words = tuple(Aligned(*one, 0.9) for one in times)  # the last in a frame that begins where the audio ends
    utterance = AlignedUtterance("x", "x", 0, 0.0, 1.0, "a b c d e", Alignment(words, ()))
    write_text_grid(tmp_path, utterance)
    found = read_alignments(tmp_path / "x.TextGrid", "words")["x"]
    spans = [(one.label, round(one.begin_sec, 4), round(one.end_sec, 4)) for one in found if one.label]
    assert spans == [
        ("a", 0.2, 0.46),
        ("b", 0.46, 0.48),
        ("c", 0.48, 0.5),
        ("d", 0.5, 0.52),
        ("e", 0.52, 0.54),
    ]


def test_a_text_grid_has_no_gaps():
    words = (Aligned('say "a"', 0.5, 1.0, 0.9), Aligned("b", 1.0, 1.2, 0.9))
    utterance = AlignedUtterance("x", "x", 0, 0.0, 2.0, 'say "a" b', Alignment(words, ()))
    grid = text_grid(utterance)
    first = grid[: grid.index('name = "pieces"')]
    spans = re.findall(r"intervals \[\d\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = (.*)", first)
    assert spans == [
        ("0.0000", "0.5000", '""'),
        ("0.5000", "1.0000", '"say ""a"""'),
        ("1.0000", "1.2000", '"b"'),
        ("1.2000", "2.0000", '""'),
    ]
    assert "intervals: size = 1\n" in grid[len(first) :]


def test_what_is_missing_is_said(work, files):
    flags = ["--exp-dir", str(work / "exp")]
    with pytest.raises(ValueError, match="give either audio files or --cuts"):
        main("align", flags)
    with pytest.raises(ValueError, match="--text is the text of one audio file, but there are 2"):
        main("align", [*map(str, files[:2]), "--text", TEXT, *flags])


def test_files_without_a_text_are_named_and_the_others_aligned(work, files, tmp_path, capsys, caplog):
    paths = [tmp_path / name for name in ("none.wav", "other.wav", "good.wav")]
    for path, text in zip(paths, (None, b"caf\xe9", TEXT.encode())):
        path.hardlink_to(files[0])
        if text is not None:
            path.with_suffix(".txt").write_bytes(text)
    with pytest.raises(SystemExit) as ended:
        main("align", [*map(str, paths), "--exp-dir", str(work / "exp")])
    assert ended.value.code == 1
    assert [(line[0], line[4]) for line in ctm(capsys.readouterr().out)] == [("good", word) for word in TEXT.split()]
    said = [record.getMessage() for record in caplog.records]
    assert f"{paths[0]} has no text: neither .txt nor .lab of its name is beside it." in said
    assert any(one.startswith(f"{paths[1].with_suffix('.txt')} is not in UTF-8") for one in said)


def test_where_nothing_is_aligned_nothing_of_before_is_lost(work, files, tmp_path, caplog):
    flags, ctm_file = ["--exp-dir", str(work / "exp"), "--to", str(tmp_path / "to")], tmp_path / "to" / "words.ctm"
    main("align", [str(files[0]), "--text", TEXT, *flags])
    before = ctm_file.read_bytes()
    with pytest.raises(SystemExit):
        main("align", [str(tmp_path / "absent.wav"), str(tmp_path), *flags])
    assert ctm_file.read_bytes() == before != b""
    said = [record.getMessage() for record in caplog.records]
    assert f"{tmp_path / 'absent.wav'}: the file does not exist." in said
    assert f"{tmp_path}: this is a folder; give the audio files in it." in said
    with pytest.raises(ValueError, match=r"--to .*words\.ctm: .*words\.ctm is a file, expected a folder; give"):
        main("align", [str(files[0]), "--text", TEXT, *flags[:2], "--to", str(ctm_file)])


def test_two_utterances_that_would_be_one_file_are_refused_before_anything_is_read(tmp_path):
    paths = [tmp_path / name / "x.wav" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.with_suffix(".txt").write_text("one")
    flags = ["--exp-dir", str(tmp_path / "none"), "--to", str(tmp_path / "to")]
    with pytest.raises(ValueError, match=r"'x' and 'x' are two utterances, and would both be written as .*x\.TextGrid"):
        main("align", [*map(str, paths), *flags])
    with pytest.raises(ValueError, match="it has characters that cannot be seen"):
        require_own_files(tmp_path, ["a", "b\nc"])
