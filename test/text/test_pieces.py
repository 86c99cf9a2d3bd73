import re

import pytest

from icefall_discrete.text.pieces import TextEncoder, train_bpe, train_characters

TEXTS = [
    "пожалуйста оставьте сообщение после сигнала",
    "please leave a message after the tone",
    "l'appel n'a pas abouti",
    "por favor deje su mensaje después de la señal",
    "per favore lasciate un messaggio dopo il segnale",
    "ångström ß ﬁ Ⅷ",
] * 3


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lang") / "bpe.model"
    train_bpe(TEXTS, 75, path)
    return TextEncoder(path)


def test_training_text_comes_back_without_unknown_pieces(encoder):
    for text in TEXTS:
        labels = encoder.encode(text)
        assert encoder.decode(labels) == text and all(2 < label < 75 for label in labels)


def test_ids_are_those_of_icefall(encoder):
    assert encoder.vocab_size == 75 and encoder.blank_id == 0
    assert encoder.pieces()[:3] == ["<blk>", "<sos/eos>", "<unk>"]
    assert encoder.encode("漢")[-1] == 2
    assert encoder.decode([0, *encoder.encode("message"), 1, 0]) == "message"


def test_the_same_texts_give_the_same_bytes(tmp_path):
    for name in ("a", "another_folder/b"):
        train_bpe(iter(TEXTS), 70, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "another_folder" / "b").read_bytes()


def test_tokens_txt_lists_each_piece_with_its_id(encoder, tmp_path):
    encoder.write_tokens(tmp_path / "tokens.txt")
    lines = (tmp_path / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 75 and lines[0] == "<blk> 0" and lines[2] == "<unk> 2"
    assert [line.rsplit(" ", 1)[0] for line in lines] == encoder.pieces()


def test_too_large_a_vocabulary_names_the_largest_that_works(tmp_path):
    with pytest.raises(ValueError, match=r"vocab_size 5000 is too large .* largest possible is (\d+)") as error:
        train_bpe(TEXTS, 5000, tmp_path / "m")
    largest = int(re.search(r"possible is (\d+)", str(error.value)).group(1))
    assert not (tmp_path / "m").exists()
    train_bpe(TEXTS, largest, tmp_path / "m")
    with pytest.raises(ValueError, match="too large"):
        train_bpe(TEXTS, largest + 1, tmp_path / "m")


def test_too_small_a_vocabulary_names_the_least(tmp_path):
    with pytest.raises(ValueError, match=r"vocab_size 10 is too small .* use at least (\d+)") as error:
        train_bpe(TEXTS, 10, tmp_path / "m")
    train_bpe(TEXTS, int(re.search(r"at least (\d+)", str(error.value)).group(1)), tmp_path / "m")


def test_no_text_and_no_model_are_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="no text to train"):
        train_bpe([" ", ""], 50, tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="none does not exist; run the BPE stage"):
        TextEncoder(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="bad is not a sentencepiece model"):
        TextEncoder(tmp_path / "bad")


@pytest.mark.parametrize("space", ["\n", "\t", "\u00a0", "\u2028", "\u3000", "\r\n", "   "])
@pytest.mark.parametrize("train", [train_characters, lambda texts, path: train_bpe(texts, 11, path)])
def test_white_space_of_any_kind_is_a_space_and_no_piece(tmp_path, train, space):
    texts = ["a cat b", "cat hat"] * 5
    train([text.replace(" ", space) for text in texts], tmp_path / "other")
    train(texts, tmp_path / "plain")
    assert (tmp_path / "other").read_bytes() == (tmp_path / "plain").read_bytes()
    encoder = TextEncoder(tmp_path / "other")
    assert encoder.encode(f"a{space}cat") == encoder.encode("a cat") and not encoder.outside(f"a{space}cat")
    encoder.write_tokens(tmp_path / "tokens.txt")
    assert len((tmp_path / "tokens.txt").read_text(encoding="utf-8").splitlines()) == encoder.vocab_size
