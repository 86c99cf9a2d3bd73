"""Files of phrases: as text or in pieces, each mistake with its line, nothing accepted that can never be found."""

import json
import unicodedata

import pytest

from icefall_discrete.decoding.hotwords import Phrase, read_context_file
from icefall_discrete.systems.asr.alignment import CannotAlign, labels_of
from icefall_discrete.text.pieces import UNK_ID, BpeConfig, TextEncoder, train_bpe, train_characters, train_language_bpe

TEXTS = ["new york new york", "a new message for york", "old york"] * 4


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    train_bpe(TEXTS, 20, folder / "bpe")
    train_characters(TEXTS, folder / "char")
    train_language_bpe({"en": TEXTS}, BpeConfig(vocab_size=20, by_language=True), folder / "both")
    return {name: TextEncoder(folder / name) for name in ("bpe", "char", "both")}


def read(encoder, path, content, score=2.0):
    path.write_text(content, encoding="utf-8")
    return read_context_file(path, encoder.encode, score, UNK_ID, encoder.pieces())


def spelt(encoder, text):
    return " ".join(encoder.pieces()[label] for label in encoder.encode(text))


def test_pieces_are_read_as_pieces(encoders, tmp_path):
    encoder = encoders["bpe"]
    labels = tuple(encoder.encode("new york"))
    content = f"{spelt(encoder, 'new york')}\n{spelt(encoder, 'new york')} :3.5\nnew york\n"
    found = read(encoder, tmp_path / "phrases.txt", content).shared
    assert found == [Phrase(labels, 2.0), Phrase(labels, 3.5), Phrase(labels, 2.0)]
    content = json.dumps({"*": [spelt(encoder, "york")], "cut": ["old :1"]})
    found = read(encoder, tmp_path / "phrases.json", content)
    assert found.shared == [Phrase(tuple(encoder.encode("york")), 2.0)]
    assert found.of_cut == {"cut": [Phrase(tuple(encoder.encode("old")), 1.0)]}
    both = encoders["both"]
    named = " ".join(both.pieces()[label] for label in both.encode("york", "en"))
    assert read(both, tmp_path / "phrases.txt", named).shared == [Phrase(tuple(both.encode("york", "en")), 2.0)]


@pytest.mark.parametrize(
    "kind, line, message",
    [
        ("bpe", "▁NEW ▁YORK", r"written in pieces, as it has '▁', but '▁NEW' is none of the model's"),
        ("bpe", "▁new▁york", "but '▁new▁york' is none"),
        ("bpe", "▁ <unk>", "but '<unk>' is none"),
        ("bpe", "▁ <blk>", "but '<blk>' is none"),
        ("char", "▁ne w", "but '▁ne' is none"),
        ("bpe", "the <blk> york", "its text has '<blk>'"),
        ("bpe", "new <unk>", "its text has '<unk>'"),
        ("bpe", "NEW YORK", "'NEW YORK' has characters that the model has no pieces for"),
        ("char", "東京", "'東京' has characters that the model has no pieces for"),
        ("both", "new york", "no pieces for language None"),
        ("bpe", "new :", "expected a number behind"),
        ("bpe", "new :nan", "is nan; expected a number of nats from -10000 to 10000"),
        ("bpe", "new :inf", "is inf; expected a number of nats"),
        ("bpe", "new :1e38", "is 1e.38; expected a number of nats"),
        ("bpe", " :2", "has characters that the model has no pieces for"),
    ],
)
def test_what_can_never_be_found_is_refused_with_its_line(encoders, tmp_path, kind, line, message):
    with pytest.raises(ValueError, match=rf"phrases\.txt, line 2: .*{message}"):
        read(encoders[kind], tmp_path / "phrases.txt", f"\n{line}\n")


@pytest.mark.parametrize("value", [7, None, ["new"]])
def test_phrases_of_json_are_text(encoders, tmp_path, value):
    with pytest.raises(ValueError, match=r"phrases\.json: .* is no text"):
        read(encoders["bpe"], tmp_path / "phrases.json", json.dumps({"*": [value]}))


def test_a_phrase_with_two_scores_is_said(encoders, tmp_path, caplog):
    with caplog.at_level("WARNING"):
        read(encoders["bpe"], tmp_path / "phrases.txt", "new york :1\nold\nold\n")
        assert not caplog.text
        read(encoders["bpe"], tmp_path / "phrases.txt", "new york :1\nold\nnew york :2\n")
    assert "has a phrase with two scores" in caplog.text


def test_a_default_score_that_is_no_number_is_refused(encoders, tmp_path):
    with pytest.raises(ValueError, match="context_score is inf"):
        read(encoders["bpe"], tmp_path / "phrases.txt", "new", float("inf"))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_marks_may_be_apart_from_their_letters_or_not(tmp_path, form):
    """Files of some systems have them apart; that looks alike."""
    train_characters([unicodedata.normalize(form, text) for text in ("café olé", "olé café")], tmp_path / "char")
    encoder = TextEncoder(tmp_path / "char")
    for written in ("NFC", "NFD"):
        phrase = unicodedata.normalize(written, "café")
        found = read(encoder, tmp_path / "phrases.txt", phrase).shared
        assert found == [Phrase(tuple(encoder.encode(unicodedata.normalize(form, "café"))), 2.0)]
        assert labels_of(phrase, "", encoder) == list(found[0].labels)
    with pytest.raises(CannotAlign, match=r"its text has .*'ü', which no piece"):
        labels_of("für", "", encoder)
