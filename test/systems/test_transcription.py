"""Words and times of hypotheses."""

import json
import random

import pytest
from toy_settings import model_config

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.systems.asr.transcription import Failure, Transcription, make_segment, word_spans
from icefall_discrete.text.pieces import TextEncoder, train_bpe

SENTENCES = ["forty two l'eau", "mañana ночь", "one two three forty one"]


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bpe") / "bpe.model"
    train_bpe(SENTENCES, 25, path)
    return TextEncoder(path)


def test_words_are_those_of_the_decoded_text(text_encoder):
    generator = random.Random(0)
    with_unknown = 0
    for _ in range(500):
        labels = [generator.randrange(2, text_encoder.vocab_size) for _ in range(generator.randint(0, 12))]
        words = word_spans(labels, text_encoder)
        assert [word for word, _, _ in words] == text_encoder.decode(labels).split()
        positions = [position for _, first, last in words for position in (first, last)]
        assert positions == sorted(positions) and all(0 <= position < len(labels) for position in positions)
        with_unknown += 2 in labels
    assert with_unknown > 20


def test_times_of_a_sentence(text_encoder):
    labels = text_encoder.encode("two forty")
    pieces = [text_encoder.pieces()[label] for label in labels]
    frames = [10 + 3 * place for place in range(len(labels))]
    segment = make_segment([Hypothesis(labels, frames, -1.5)], (30.0, 31.0), 0.04, text_encoder)
    assert (segment.text, segment.score) == ("two forty", -1.5)
    assert "".join(token.text for token in segment.tokens) == "▁two▁forty"
    assert [token.start_sec for token in segment.tokens] == pytest.approx([min(31, 30 + 0.04 * f) for f in frames])
    two, forty = segment.words
    starts = [place for place, piece in enumerate(pieces) if piece.startswith("▁")]
    assert two.start_sec == pytest.approx(30.4) and forty.start_sec == pytest.approx(30 + 0.04 * frames[starts[1]])
    assert two.end_sec == pytest.approx(30 + 0.04 * (frames[starts[1] - 1] + 1))
    assert forty.end_sec == pytest.approx(min(31.0, 30 + 0.04 * (frames[-1] + 1)))


def test_file_is_its_segments_together(text_encoder):
    hypotheses = [Hypothesis(text_encoder.encode("two"), [1, 2, 3], -1.0), Hypothesis([], [], -0.25)]
    hypotheses.append(Hypothesis(text_encoder.encode("one"), [4, 5, 6], -2.0))
    segments = [make_segment([h], (10.0 * n, 10.0 * n + 10), 0.02, text_encoder) for n, h in enumerate(hypotheses)]
    whole = Transcription("a.wav", 30.0, tuple(segments))
    assert (whole.text, whole.score) == ("two one", -3.25)
    values = json.loads(json.dumps(whole.to_json(), ensure_ascii=False))
    assert (values["file"], values["duration"], values["text"], values["score"]) == ("a.wav", 30.0, "two one", -3.25)
    assert values["segments"][1] == {"start": 10.0, "end": 20.0, "text": "", "score": -0.25}
    assert values["words"][1]["word"] == "one" and values["words"][1]["start"] == pytest.approx(20.08)
    assert len(values["tokens"]) == len(hypotheses[0].labels) + len(hypotheses[2].labels)


def test_failure_names_its_file():
    assert Failure("b.wav", "b.wav: gone.").to_json() == {"file": "b.wav", "error": "b.wav: gone."}


@pytest.mark.parametrize("front_end, stride", [("conv2d", 2), ("conv1d", 1), ("conv1d", 4)])
@pytest.mark.parametrize("rate", [0.0, 100.0])
@pytest.mark.parametrize("factor", [1, 2])
def test_seconds_of_a_frame_fit_the_number_of_frames(front_end, stride, rate, factor):
    spec = FeatureSpec("km", "codes", 16000, 50.0, 1, (9,), 0)
    config = model_config(
        front_end=front_end, front_end_stride=stride, input_frame_rate_hz=rate, output_downsampling_factor=factor
    )
    seconds = 600
    frames = config.num_encoder_frames(50 * seconds, spec)
    assert seconds / frames == pytest.approx(config.encoder_frame_sec(spec), rel=1e-3)
