"""Words, times and language of hypotheses whose labels tell languages apart."""

import random

import pytest

from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.systems.asr.transcription import make_segment, word_spans
from icefall_discrete.text.pieces import BpeConfig, TextEncoder, train_bpe, train_language_bpe

TEXTS = {"en": ["forty two", "one two three forty one"], "es": ["mañana ночь", "una mañana"]}


@pytest.fixture(scope="module", params=["token", "by language", "both"])
def encoder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("lang") / "bpe.model"
    if request.param == "token":
        train_bpe([text for texts in TEXTS.values() for text in texts], 27, path, sorted(TEXTS))
    else:
        config = BpeConfig(vocab_size=15, by_language=True, language_token=request.param == "both")
        train_language_bpe(TEXTS, config, path)
    return TextEncoder(path)


def test_words_are_those_of_the_decoded_text(encoder):
    generator = random.Random(0)
    for _ in range(400):
        labels = [generator.randrange(2, encoder.vocab_size) for _ in range(generator.randint(0, 12))]
        words = word_spans(labels, encoder)
        assert [word for word, _, _ in words] == encoder.decode(labels).split()
        positions = [position for _, first, last in words for position in (first, last)]
        assert positions == sorted(positions)


def test_the_language_is_said_and_the_token_is_neither_text_nor_time(encoder):
    labels = encoder.labels_of("una mañana", "es")
    segment = make_segment([Hypothesis(labels, list(range(5, 5 + len(labels))), -1.0)], (0.0, 9.0), 0.04, encoder)
    assert segment.text == "una mañana" and segment.language == "es" == segment.to_json()["language"]
    first = 5 + bool(encoder.language_tokens)
    assert segment.words[0].start_sec == segment.tokens[0].start_sec == pytest.approx(0.04 * first)
    assert len(segment.tokens) == len(encoder.encode("una mañana", "es"))
    assert "<" not in "".join(token.text for token in segment.tokens)
