"""The corpus's text rules against hand-written truths."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("num2words")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "egs" / "asterisk" / "ASR" / "local"))

from asterisk_text import is_silence, normalize, parse_transcript, utterance_id


@pytest.mark.parametrize(
    "language, written, spoken",
    [
        ("en", "That agent is  logged on. Press the pound key!", "that agent is logged on press the pound key"),
        ("en", "dot [.]", "dot"),
        ("en", "[this is an error beep tone]", ""),
        ("es", "(beep)", ""),
        ("en", "<beep ascending>", "beep ascending"),
        ("en", "press 21", "press twenty one"),
        ("en", "28.8 Kb", "twenty eight eight kb"),
        ("es", "marque 0 para obtener ayuda", "marque cero para obtener ayuda"),
        ("fr", "appuyez sur 5, ou 71", "appuyez sur cinq ou soixante et onze"),
        ("it", "modem da 28Kilobit", "modem da ventotto kilobit"),
        ("it", "L’agente è E\u0300 qui", "l'agente è è qui"),
        ("ru", "Нажмите 2", "нажмите два"),
        ("fr", "Pour (emphase)", "pour"),
        ("es", "Sus saludos [temporales] estan", "sus saludos estan"),
        ("en", "one[a] two[b]", "one two"),
        ("en", "[a] middle [b]", "middle"),
        ("en", " \t", ""),
        ("en", "press ½ or ٣", ""),
        ("en", "snake_case-word", "snake case word"),
    ],
)
def test_normalize_says_what_is_spoken(language, written, spoken):
    assert normalize(written, language) == spoken


def test_normalize_is_idempotent():
    once = normalize("Si c'est l'été, composez le 1234 (merci)!", "fr")
    assert normalize(once, "fr") == once


def test_parse_transcript_drops_mark_and_comments_and_keeps_the_last_of_a_repeated_prompt():
    content = "\ufeff; comment\n\nagent-ok: Agent: fine.\r\n digits/0 :zero\ndigits/0: nought\nbeep:\n ; late\n"
    assert parse_transcript(content, "x.txt") == {"agent-ok": "Agent: fine.", "digits/0": "nought", "beep": ""}


def test_parse_transcript_names_the_file_and_line_of_a_damaged_line():
    with pytest.raises(ValueError, match=r"x\.txt, line 2: expected 'prompt-id: text', got 'no colon here'"):
        parse_transcript("a: b\nno colon here\n", "x.txt")


def test_ids_and_silence():
    assert utterance_id("en", "digits/h-1") == "en-digits_h-1"
    assert is_silence("silence/3") and not is_silence("silences")


def test_a_prompt_with_two_texts_is_told(caplog):
    parse_transcript("digits/0: zero\nbeep: x\ndigits/0: zero\n", "x.txt")
    assert not caplog.records
    parse_transcript("digits/0: zero\ndigits/0: nought\n", "x.txt")
    assert "x.txt: 1 prompts have two texts, of which the last counts: digits/0" in caplog.text
