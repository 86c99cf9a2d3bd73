"""Language tokens and pieces by language behind TextEncoder: round trips, disjoint ids, parity with single models."""

import zipfile

import pytest

from icefall_discrete.text.pieces import UNK_ID, BpeConfig, TextEncoder, train_bpe, train_language_bpe

TEXTS = {
    "en": ["please leave a message after the tone", "a message a tone", "please hold the line"] * 3,
    "es": ["por favor deje su mensaje después de la señal", "la línea está ocupada", "deje la señal"] * 3,
    "ru": ["пожалуйста оставьте сообщение после сигнала", "линия занята", "оставьте сигнал"] * 3,
}
EVERY = [(text, language) for language, texts in TEXTS.items() for text in texts]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lang")


@pytest.fixture(scope="module")
def plain(folder):
    train_bpe([text for text, _ in EVERY], 55, folder / "plain")
    return TextEncoder(folder / "plain")


@pytest.fixture(scope="module")
def tokens(folder):
    train_bpe([text for text, _ in EVERY], 58, folder / "tokens", list(TEXTS))
    return TextEncoder(folder / "tokens")


def joined_encoder(path, language_token):
    config = BpeConfig(vocab_size=25, vocab_sizes=("ru=27",), language_token=language_token, by_language=True)
    train_language_bpe(TEXTS, config, path)
    return TextEncoder(path)


@pytest.fixture(scope="module", params=[False, True], ids=["without token", "with token"])
def joined(request, folder):
    return joined_encoder(folder / f"joined-{request.param}", request.param)


def test_plain_pieces_know_no_languages(plain):
    assert plain.languages == () and plain.language_tokens == {}
    for text, language in EVERY:
        labels = plain.encode(text)
        assert plain.labels_of(text, language) == plain.labels_of(text, None) == labels
        assert plain.language_of(labels) is None and plain.marked(text, None) == text


def test_tokens_come_first_and_leave_no_trace_in_the_text(tokens, plain):
    assert tokens.pieces()[:6] == ["<blk>", "<sos/eos>", "<unk>", "<en>", "<es>", "<ru>"]
    assert tokens.languages == ("en", "es", "ru") and tokens.language_tokens == {"en": 3, "es": 4, "ru": 5}
    for text, language in EVERY:
        labels = tokens.labels_of(text, language)
        assert labels == [tokens.language_tokens[language], *tokens.encode(text)]
        assert all(label > 5 for label in labels[1:])
        assert tokens.decode(labels) == text and tokens.language_of(labels) == language
        # The rest is as it is without tokens: as many pieces of text, the same ones.
        pieces, without = tokens.pieces(), plain.pieces()
        assert [pieces[label] for label in labels[1:]] == [without[label] for label in plain.encode(text)]


def test_a_hypothesis_may_have_no_token_or_several(tokens):
    labels = tokens.encode("a message")
    assert tokens.language_of(labels) is None and tokens.language_of([]) is None
    assert tokens.language_of([*labels, 5, 3]) == "ru"
    assert tokens.decode([0, 4, *labels, 3, 1]) == "a message"


def test_another_language_is_refused(tokens, joined):
    for encoder in (tokens, joined):
        for language in ("pl", None):
            with pytest.raises(ValueError, match=f"language is {language!r}, but the pieces were made for en, es, ru"):
                encoder.labels_of("a message", language)
    with pytest.raises(ValueError, match="no pieces for language None, only for en, es, ru"):
        joined.encode("a message")


def test_a_name_that_is_no_token_is_refused(tmp_path):
    for name in ("en us", "<en>", "a@b", ""):
        with pytest.raises(ValueError, match="cannot be a token"):
            train_bpe(["a"], 5, tmp_path / "m", [name])


def test_languages_have_disjoint_ids_and_those_of_their_own_models(joined, folder):
    shift = 3 + len(joined.language_tokens)
    assert joined.vocab_size == shift + (25 - 3) + (25 - 3) + (27 - 3)
    assert len(set(joined.pieces())) == joined.vocab_size
    for language, size in (("en", 25), ("es", 25), ("ru", 27)):
        train_bpe(TEXTS[language], size, folder / language)
        alone = TextEncoder(folder / language)
        for text in TEXTS[language]:
            labels = joined.encode(text, language)
            assert labels == [label + shift - 3 for label in alone.encode(text)]
            assert all(shift <= label < shift + size - 3 for label in labels)
            names = [joined.pieces()[label] for label in labels]
            assert names == [f"{alone.pieces()[label]}@{language}" for label in alone.encode(text)]
        shift += size - 3


def test_pieces_by_language_round_trip(joined):
    for text, language in EVERY:
        labels = joined.labels_of(text, language)
        assert joined.decode(labels) == text and joined.language_of(labels) == language
        token = [joined.language_tokens[language]] if joined.language_tokens else []
        assert labels == token + joined.encode(text, language)


def test_a_mix_of_languages_is_decoded_piece_by_piece(joined):
    english, russian = joined.encode("please hold", "en"), joined.encode("линия занята", "ru")
    assert joined.decode(english + russian) == "please hold линия занята"
    assert joined.language_of([*english[:1], *russian]) == "ru"
    inner = [label for label in joined.encode("линия", "ru") if not joined.pieces()[label].startswith("\u2581")]
    assert joined.decode(english + inner).startswith("please hold") and " " not in joined.decode(english + inner)[8:]


def test_unknown_pieces_are_shared(joined):
    labels = joined.encode("漢 please", "en")
    assert UNK_ID in labels and joined.decode(labels).split() == ["⁇", "please"]
    assert joined.decode([UNK_ID]).split() == ["⁇"] and joined.language_of([UNK_ID]) is None
    assert joined.decode([]) == "" and joined.decode([0, 1]) == ""


def test_the_same_texts_give_the_same_bytes(tmp_path):
    first, second = joined_encoder(tmp_path / "a", True), joined_encoder(tmp_path / "b", True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() and first.pieces() == second.pieces()


def test_mistakes_name_the_language_and_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"language en: vocab_size 4000 is too large .* set by --vocab-sizes en=N"):
        train_language_bpe(TEXTS, BpeConfig(vocab_sizes=("en=4000",), by_language=True), tmp_path / "m")
    with pytest.raises(ValueError, match=r"vocab_sizes has pl=3, en=many; expected <language>=<number>.*en, es, ru"):
        train_language_bpe(TEXTS, BpeConfig(vocab_sizes=("pl=3", "en=many", "ru=40")), tmp_path / "m")
    assert BpeConfig(vocab_size=34, vocab_sizes=("ru=40",)).sizes(["en", "ru"]) == {"en": 34, "ru": 40}
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ValueError, match="is not a sentencepiece model"):
        TextEncoder(tmp_path / "other.zip")
