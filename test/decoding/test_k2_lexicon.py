import pytest
from toy_lexicon import PIECES, SPELLINGS, toy_lexicon

from icefall_discrete.decoding.k2_lexicon import Lexicon, make_lexicon, read_lexicon, read_token_table
from icefall_discrete.text.pieces import TextEncoder, train_bpe

TEXTS = ["please leave a message after the tone", "per favore lasciate un messaggio", "после сигнала"] * 2


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lang") / "bpe.model"
    train_bpe(TEXTS, 40, path)
    return TextEncoder(path)


def test_spellings_are_those_of_sentences_and_files_come_back(encoder, tmp_path):
    lexicon, left_out = make_lexicon(encoder, [*TEXTS, "漢 please"])
    assert left_out == ["漢"] and len(lexicon.spellings) == 14
    for text in TEXTS:
        labels = encoder.encode(text)
        assert [group.word for group in lexicon.groups(labels)] == text.split()
        assert labels == [label for word in text.split() for label in lexicon.spellings[word]]
    lexicon.write(tmp_path)
    encoder.write_tokens(tmp_path / "tokens.txt")
    again = read_lexicon(tmp_path, read_token_table(tmp_path / "tokens.txt"))
    assert again.spellings == lexicon.spellings and again.pieces == encoder.pieces()
    lines = (tmp_path / "words.txt").read_text(encoding="utf-8").splitlines()
    assert [lines[0], *lines[-3:]] == ["<eps> 0", "#0 15", "<s> 16", "</s> 17"]
    assert lexicon.word_table() == {line.split()[0]: int(line.split()[1]) for line in lines}


def test_pieces_of_no_word_are_left_out():
    groups = toy_lexicon().groups([5, 3, 5, 4, 4, 6, 3, 5, 6, 6, 3])
    assert [(group.word, group.start, group.stop) for group in groups] == [("ac", 1, 3), ("bd", 4, 6), ("a", 10, 11)]
    assert toy_lexicon().groups([]) == []


def test_no_disambiguated_word_begins_another():
    changed, highest = toy_lexicon().disambiguated()
    assert highest == 1 and changed["a"] == (3, 10) and changed["acd"] == SPELLINGS["acd"]
    for one in changed.values():
        assert sum(other[: len(one)] == one for other in changed.values()) == 1


def test_mistakes_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lexicon\.txt does not exist; make it with local/compile_graphs\.py"):
        read_lexicon(tmp_path, PIECES)
    (tmp_path / "lexicon.txt").write_text("a ▁a\nb ▁x\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"lexicon\.txt, line 2: unknown piece ▁x"):
        read_lexicon(tmp_path, PIECES)
    with pytest.raises(ValueError, match="the lexicon has no word"):
        Lexicon(PIECES, {})
    with pytest.raises(ValueError, match="same pieces"):
        Lexicon(PIECES, {"a": (3,), "b": (3,)})
