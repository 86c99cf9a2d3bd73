"""recogs and errs files: round trip, icefall's format to the letter, damaged files refused."""

import pytest

from icefall_discrete.metrics.wer import Transcript, align
from icefall_discrete.systems.asr.error_report import error_report, marked_errors, wer_summary
from icefall_discrete.systems.asr.recogs import SaidText, read_recogs, read_texts, write_recogs, write_texts

TRANSCRIPTS = [
    Transcript("fr-b", ("l'été", "est", "là"), ()),
    Transcript("en-a", ("press", "one", "now"), ("press", "won", "no", "now")),
]


def test_round_trip_sorts_and_keeps_quotes_and_empty_hypotheses(tmp_path):
    path = tmp_path / "recogs-test-x.txt"
    write_recogs(path, TRANSCRIPTS)
    assert read_recogs(path) == sorted(TRANSCRIPTS)
    assert path.read_text().splitlines()[:2] == [
        "en-a:\tref=['press', 'one', 'now']",
        "en-a:\thyp=['press', 'won', 'no', 'now']",
    ]


def test_lines_of_icefall_with_timestamps_are_read(tmp_path):
    path = tmp_path / "recogs.txt"
    path.write_text("a:1-2:\tref=['A']\na:1-2:\thyp=['B']\na:1-2:\ttimestamp_hyp=[0.120]\n")
    assert read_recogs(path) == [Transcript("a:1-2", ("A",), ("B",))]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a:\tref=['A']\n", "cut short"),
        ("a:\tref=['A']\nb:\thyp=['A']\n", "cut a"),
        ("a:\tref=['A']\na:\thyp=['A\n", ":2: expected"),
        ("nonsense\n", ":1: expected"),
    ],
)
def test_damaged_files_are_refused(tmp_path, text, message):
    path = tmp_path / "recogs.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recogs(path)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="decode first"):
        read_recogs(tmp_path / "recogs.txt")


def test_runs_of_errors_are_joined():
    assert marked_errors(align(["a", "b", "c", "d"], ["a", "x", "y", "d"])) == "a (b c->x y) d"
    assert marked_errors(align(["a", "b"], [])) == "(a b->*)"
    assert marked_errors(align(["a"], ["a", "b"])) == "a (*->b)"
    assert marked_errors([]) == ""


def test_error_report_has_icefalls_sections_and_counts():
    lines = error_report(TRANSCRIPTS).splitlines()
    assert lines[0] == "%WER = 83.33"
    assert lines[1] == ("Errors: 1 insertions, 3 deletions, 1 substitutions, over 6 reference words (2 correct)")
    assert "fr-b:\t(l'été est là->*)" in lines
    assert lines[lines.index("DELETIONS: count ref") + 1] == "1   est"
    assert "press   1 0 1 1" in lines
    assert "one   0 1 1 0" in lines


def test_summary_puts_the_best_setting_first():
    assert wer_summary({"b": 10.0, "a": 20.125}) == "settings\tWER\nb\t10.00\na\t20.12\n"


def test_texts_keep_their_spaces_and_come_back_without_a_file_as_words_tell(tmp_path):
    texts = [SaidText("b", "买 iphone十五", "买iphone 15"), SaidText("a\tb", "the cat\u2028", "")]
    write_texts(tmp_path / "texts.jsonl", texts)
    assert read_texts(tmp_path / "texts.jsonl", tmp_path / "absent") == sorted(texts)
    write_recogs(tmp_path / "recogs.txt", [Transcript("a", ("广", "州", "T", "恤"), ("the", "cat"))])
    assert read_texts(tmp_path / "absent", tmp_path / "recogs.txt") == [SaidText("a", "广州T恤", "the cat")]
    (tmp_path / "texts.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"texts\.jsonl:1: expected id, ref and hyp"):
        read_texts(tmp_path / "texts.jsonl", tmp_path / "absent")


def test_a_cut_that_is_there_twice_is_named(tmp_path):
    write_recogs(tmp_path / "recogs.txt", [Transcript("a", ("one",), ()), Transcript("a", ("two",), ())])
    with pytest.raises(ValueError, match="cut a is there twice"):
        read_recogs(tmp_path / "recogs.txt")
