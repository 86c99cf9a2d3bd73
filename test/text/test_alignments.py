"""Alignments: every form that is read, the labels of frames, and the line that cannot be read."""

import pytest

from icefall_discrete.text.alignments import (
    Segment,
    frame_labels,
    read_alignments,
    segments_of_peaks,
    without_stress,
    write_ctm,
)

LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "say ""hi"""
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 0.5
        points: size = 1
        points [1]:
            number = 0.2
            mark = "x"
    item [3]:
        class = "IntervalTier"
        name = "anna - phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.2
            text = "HH"
        intervals [2]:
            xmin = 0.2
            xmax = 0.3
            text = ""
        intervals [3]:
            xmin = 0.3
            xmax = 0.5
            text = "AY1"
'''
SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n0.5\n<exists>\n1\n"IntervalTier"\n"letters"\n0\n0.5\n2\n'
)
SHORT += '0\n0.2\n"HH"\n0.3\n0.5\n"AY1"\n'
SEGMENTS = [Segment(0.0, 0.2, "HH"), Segment(0.3, 0.5, "AY1")]


def test_every_form_gives_the_same_segments(tmp_path):
    (tmp_path / "grids" / "anna").mkdir(parents=True)
    (tmp_path / "grids" / "anna" / "u1.TextGrid").write_text(LONG)
    (tmp_path / "u1.TextGrid").write_text(SHORT)
    write_ctm(tmp_path / "a.ctm", {"u1": SEGMENTS})
    (tmp_path / "a.tsv").write_text("u1\t" + ",".join(["HH"] * 20 + ["SIL"] * 10 + ["AY1"] * 20) + "\n")
    assert (tmp_path / "a.ctm").read_text() == "u1 1 0.000 0.200 HH\nu1 1 0.300 0.200 AY1\n"
    for name in ("grids", "u1.TextGrid", "a.ctm"):
        assert read_alignments(tmp_path / name) == {"u1": [pytest.approx(one) for one in SEGMENTS]}, name
    labels = read_alignments(tmp_path / "a.tsv")["u1"]
    assert labels == [SEGMENTS[0], Segment(0.2, 0.3, "SIL"), SEGMENTS[1]]
    assert read_alignments(tmp_path / "grids", tier="words")["u1"] == [Segment(0.0, 0.5, 'say "hi"')]
    assert without_stress({"u1": SEGMENTS})["u1"][1].label == "AY"


def test_a_frame_has_the_label_at_its_middle():
    assert frame_labels(SEGMENTS, 6, 10.0) == ["HH", "HH", None, "AY1", "AY1", None]
    assert frame_labels([], 2, 50.0) == [None, None]


def test_labels_of_moments_reach_to_the_middle_between_them_but_not_over_pauses():
    found = segments_of_peaks([0.1, 0.2, 1.0], ["a", "b", "c"], 1.02, reach_sec=0.1)
    assert [one.label for one in found] == ["a", "b", "c"]
    assert [edge for one in found for edge in one[:2]] == pytest.approx([0.0, 0.15, 0.15, 0.3, 0.9, 1.02])


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.ctm", "u1 1 0.0 0.2 a\nu1 1 0.2 b\n", "a.ctm line 2 has 4 fields, expected utterance, channel, begin"),
        ("a.ctm", "u1 1 0.0 x a\n", "a.ctm line 1: 'x' is no time in seconds"),
        ("a.ctm", "u1 1 nan 1 a\n", "a.ctm line 1: 'nan' is no time in seconds"),
        ("a.ctm", ";; nothing\n", "a.ctm holds no segment with a label"),
        ("a.tsv", "u1 a,b\n", "a.tsv line 1 has no tab with labels behind it"),
        ("a.tsv", "u1\ta\nu1\ta\n", "a.tsv line 2 names an utterance for the second time"),
        ("a.lab", "u1", "a.lab: expected a .TextGrid file or a folder of them"),
        ("a.TextGrid", SHORT.replace("0.3\n", '"x"\n'), "a.TextGrid line 16: expected the begin of interval 2 of tier"),
        ("a.TextGrid", SHORT[:-6], "line 17: expected the text of interval 2 of tier 'letters', found the end of the"),
        (
            "a.TextGrid",
            SHORT.replace("0.2", "-1"),
            "line 14: interval 1 of tier 'letters' ends at -1 s, but begins at 0",
        ),
        ("a.TextGrid", LONG.replace("anna - phones", "p"), "has no tier 'phones' .it has 'words', 'p'.; say which"),
        ("a.TextGrid", SHORT.replace('"letters"\n0\n', '"letters"\n1e999\n'), "line 10: .*found a number without end"),
        ("a.TextGrid", "RIFF", 'expected "ooTextFile", found the end of the file'),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_alignments(tmp_path / name)
