"""Lexicons, grammars and language models of pieces with language tokens: the token is a word, and a piece."""

import pytest

from icefall_discrete.decoding.k2_lexicon import PieceGroup, make_lexicon, read_lexicon
from icefall_discrete.lm.ngram import estimate_ngram
from icefall_discrete.text.pieces import UNK_ID, BpeConfig, TextEncoder, train_bpe, train_language_bpe

TEXTS = {"en": ["press one now", "press two"], "it": ["premi uno ora", "premi due"]}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lang") / "bpe.model"
    train_bpe([text for texts in TEXTS.values() for text in texts], 22, path, sorted(TEXTS))
    return TextEncoder(path)


def test_a_token_is_a_word_spelt_by_itself(encoder, tmp_path):
    texts = [encoder.marked(text, language) for language, every in TEXTS.items() for text in every]
    assert texts[0] == "<en> press one now"
    lexicon, left_out = make_lexicon(encoder, texts)
    assert left_out == [] and lexicon.spellings["<en>"] == (3,) and lexicon.spellings["<it>"] == (4,)
    assert len(lexicon.spellings) == 2 + len(
        {word for every in TEXTS.values() for text in every for word in text.split()}
    )
    labels = encoder.labels_of("premi due", "it")
    words = [group.word for group in lexicon.groups(labels)]
    assert words == ["<it>", "premi", "due"] and lexicon.groups(labels)[0] == PieceGroup("<it>", 0, 1)
    lexicon.write(tmp_path)
    assert read_lexicon(tmp_path, encoder.pieces()).spellings == lexicon.spellings


def test_a_model_over_pieces_expects_the_token_first(encoder):
    pieces = encoder.pieces()
    sentences = [[pieces[i] for i in encoder.labels_of(text, name)] for name, every in TEXTS.items() for text in every]
    vocabulary = [piece for label, piece in enumerate(pieces) if label > UNK_ID]
    model = estimate_ngram(sentences, 2, vocabulary)
    assert {sentence[0] for sentence in sentences} == {"<en>", "<it>"}
    assert ("<s>", "<en>") in model.grams[1] and ("<s>", "▁p") not in model.grams[1]


def test_pieces_by_language_have_no_lexicon(tmp_path):
    train_language_bpe(TEXTS, BpeConfig(vocab_size=12, vocab_sizes=("it=14",), by_language=True), tmp_path / "m")
    with pytest.raises(ValueError, match="those of single languages, so that a word has no one spelling"):
        make_lexicon(TextEncoder(tmp_path / "m"), ["premi"])
