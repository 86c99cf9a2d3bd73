"""Pieces that are characters."""

import pytest

from icefall_discrete.text.pieces import BpeConfig, TextEncoder, train_characters

CHINESE = ["广州市房地产中介协会分析", "T恤三十元", "广州协会"]


def encoder_of(texts, folder):
    train_characters(texts, folder / "bpe.model")
    return TextEncoder(folder / "bpe.model")


def test_each_character_is_one_label_and_comes_back(tmp_path):
    encoder = encoder_of(CHINESE, tmp_path)
    characters = {character for text in CHINESE for character in text}
    assert set(encoder.pieces()) == {"<blk>", "<sos/eos>", "<unk>"} | characters
    for text in CHINESE:
        labels = encoder.encode(text)
        assert [encoder.pieces()[label] for label in labels] == list(text)
        assert encoder.decode(labels) == text
    assert encoder.encode("漢州")[0] == 2 and len(encoder.encode("漢州")) == 2


def test_a_space_is_a_character_too(tmp_path):
    encoder = encoder_of(["l'eau de", "vie"], tmp_path)
    assert [encoder.pieces()[label] for label in encoder.encode("de eau")] == ["d", "e", "▁", "e", "a", "u"]
    assert encoder.decode(encoder.encode("de l'eau")) == "de l'eau"


def test_an_unknown_kind_of_piece_is_refused():
    with pytest.raises(ValueError, match="piece_type is 'phone', expected one of unigram, char"):
        BpeConfig(piece_type="phone")
    with pytest.raises(ValueError, match="by_language"):
        BpeConfig(piece_type="char", by_language=True)
