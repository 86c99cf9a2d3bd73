"""Letters in time by a CTC head, and scores of texts: on log-probabilities whose alignment is known."""

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut, SupervisionSegment
from synthetic_codes import LETTERS, SPEC, write_split
from toy_models import CONFIG

from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.systems.asr.letter_times import ctc_log_probs, letters_in_time, text_scores
from icefall_discrete.systems.asr.transducer import Heads, build_transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.pieces import TextEncoder, train_characters


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("characters") / "bpe.model"
    train_characters(["abc cab", "bca"], path)
    return TextEncoder(path)


def peaky(labels, frames, length, size):
    """Log-probabilities (T', V): each label on its frame, blanks elsewhere."""
    logits = torch.zeros(length, size)
    logits[:, 0] = 8.0
    for label, frame in zip(labels, frames):
        logits[frame, label], logits[frame, 0] = 8.0, 0.0
    return logits.log_softmax(dim=1)


def cut_of(name, text, seconds):
    return MonoCut(name, 0.0, seconds, 0, supervisions=[SupervisionSegment(name, name, 0.0, seconds, text=text)])


def test_letters_last_to_the_middle_between_them_and_pauses_have_none(text_encoder):
    labels = text_encoder.labels_of("abc", None)
    frames = [2, 4, 7, 30][: len(labels)]
    log_probs = {"u": peaky(labels, frames, 40, text_encoder.vocab_size), "short": torch.zeros(1, 8).log_softmax(1)}
    cuts = CutSet.from_cuts([cut_of("u", "abc", 1.6), cut_of("short", "abc", 0.04), cut_of("unheard", "abc", 0.01)])
    found = letters_in_time(log_probs, cuts, text_encoder, 0.04)
    assert list(found) == ["u"]  # one has no alignment, one was not heard
    said = dict(zip([text_encoder.pieces()[one] for one in labels], frames))
    assert [one.label for one in found["u"]] == ["a", "b", "c"]
    assert all(
        one.begin_sec <= (said[one.label] + 0.5) * 0.04 <= one.end_sec for one in found["u"] if one.label in said
    )
    assert found["u"][-1].end_sec - found["u"][-1].begin_sec <= 0.3
    whole = letters_in_time(log_probs, cuts, text_encoder, 0.04, pieces=True)
    assert [one.label for one in whole["u"]] == [text_encoder.pieces()[one] for one in labels]


def test_scores_are_those_of_each_text_by_itself(text_encoder):
    texts = [text_encoder.labels_of(text, None) for text in ("abc", "cab bca abc")]
    generator = torch.Generator().manual_seed(0)
    log_probs = [torch.randn(length, text_encoder.vocab_size, generator=generator).log_softmax(1) for length in (6, 30)]
    scores = text_scores(log_probs, texts, text_encoder.blank_id)
    assert scores[0, 1] == -np.inf  # more letters than frames
    alone = torch.nn.functional.ctc_loss(
        log_probs[1][:, None],
        torch.tensor([texts[0]]),
        torch.tensor([30]),
        torch.tensor([len(texts[0])]),
        reduction="sum",
    )
    assert scores[1, 0] == pytest.approx(-alone.item(), rel=1e-5)


def test_every_cut_gets_the_letters_of_its_text(tmp_path):
    texts = write_split(tmp_path, "test", 4, 2)
    train_characters([*texts, LETTERS], tmp_path / "bpe.model")
    cuts, encoder = load_cuts(tmp_path / "test.jsonl.gz"), TextEncoder(tmp_path / "bpe.model")
    torch.manual_seed(0)
    model = build_transducer(CONFIG, SPEC, encoder.vocab_size, AugmentConfig()).eval()
    together, facts = ctc_log_probs(model, cuts, SPEC, RunConfig(device="cpu"))
    assert facts["num_utterances"] == 4
    assert all(one.isfinite().all() and one.shape[1] == encoder.vocab_size for one in together.values())
    found = letters_in_time(together, cuts, encoder, model.config.encoder_frame_sec(SPEC))
    for cut, text in zip(cuts, texts):
        assert "".join(one.label for one in found[cut.id]) == text.replace(" ", "")
        assert all(0 <= one.begin_sec <= one.end_sec <= cut.duration + 0.1 for one in found[cut.id])
    without = build_transducer(CONFIG, SPEC, encoder.vocab_size, AugmentConfig(), heads=Heads(ctc=False)).eval()
    with pytest.raises(ValueError, match="an alignment needs a model that was trained with a CTC loss"):
        ctc_log_probs(without, cuts, SPEC, RunConfig(device="cpu"))
