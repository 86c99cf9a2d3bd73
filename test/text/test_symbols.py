"""What texts are said by: letters of any script, phones of a stand-in for espeak-ng; and how long each lasts."""

import os

import pytest

from icefall_discrete.text.alignments import Segment
from icefall_discrete.text.symbols import Letters, Phones, durations_of_spans

SEGMENTS = [Segment(0.1, 0.5, "invalid"), Segment(0.7, 1.0, "▁cho"), Segment(1.0, 1.2, "ice")]
# Says each letter of a word as a phone, a word a line; a word with a colon as two clauses, and nothing in language xx.
ESPEAK = r"""#!/usr/bin/env bash
case "$*" in *"-v xx"*) echo "no such voice" >&2; exit 1 ;; esac
tr ':' '\n' | while read -r word || [ -n "$word" ]; do
  [ -z "$word" ] || { printf '(en)'; sed 's/./&_/g' <<<"$word"; }
done
"""


@pytest.fixture
def espeak(tmp_path, monkeypatch):
    program = tmp_path / "espeak-ng"
    program.write_text(ESPEAK)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_letters_have_equal_parts_of_what_spells_them():
    text = "Invalid, Choice."
    spans = Letters().spans(text, "", SEGMENTS)
    symbols = Letters().symbols(text, "")
    assert len(spans) == len(symbols) == len(text) + 2 and symbols[1:-1] == list(text)
    assert [span is None for span in spans] == [not one.isalpha() or len(one) > 1 for one in symbols]
    durations = durations_of_spans(spans, 70, 50.0)
    assert sum(durations) == 70 and durations[0] == 5 and sum(durations[1:8]) == 20
    assert durations[8:10] == [10, 0]  # the pause is the comma's
    assert durations[-2:] == [10, 0]
    assert Letters().spans("invalid voice", "", SEGMENTS) is None
    assert Letters().spans("invalid", "", SEGMENTS) is None
    assert Letters().spans("निश्चित", "", [Segment(0, 1, "निश्चित")])[3] is not None  # a mark on a letter is heard


def test_what_lies_between_sounds_without_a_sign_is_of_the_sound_before():
    assert durations_of_spans([None, (0.2, 0.3), (0.5, 0.6), None], 10, 10.0) == [2, 3, 1, 4]
    assert durations_of_spans([None, (0.0, 0.3), (0.2, 9.0), None], 5, 10.0) == [0, 3, 2, 0]


def test_phones_are_of_words_and_share_their_time(espeak):
    phones = Phones()
    assert phones.symbols("no - way", "en") == ["<begin>", "n", "o", " ", "w", "a", "y", "<end>"]
    segments = [Segment(0.0, 0.4, "no"), Segment(0.5, 0.8, "way")]
    spans = phones.spans("No way", "en", segments)
    assert durations_of_spans(spans, 10, 10.0) == [0, 2, 2, 1, 1, 1, 1, 2]
    assert phones.symbols("a:b c", "en") == ["<begin>", "a", "b", " ", "c", "<end>"]
    for language, sentence in (
        ("xx", "knows no language 'xx' .no such voice"),
        ("", "the language of the text is not"),
    ):
        with pytest.raises(ValueError, match=sentence):
            phones.symbols("no", language)


def test_without_espeak_phones_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match="phones need the program espeak-ng, which is not found; install it"):
        Phones().symbols("no", "en")
