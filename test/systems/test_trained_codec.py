"""The codec that is trained on the corpus: what it learns, its file, its provenance."""

import dataclasses

import pytest
import soundfile
import torch
from codec_checks import encode_whole, make_codec
from lhotse import MonoCut, Recording
from toy_fits import SMALL_CODEC as SMALL
from toy_tokenizers import Toy

from icefall_discrete.extraction.fitting import fit_tokenizer
from icefall_discrete.losses.reconstruction import ReconstructionLoss
from icefall_discrete.systems.codec.trained_codec import FILE_NAME, TrainedCodecTokenizer

# Enough to learn one sentence; a few seconds of computing.
LEARNING = dataclasses.replace(
    SMALL,
    channels=(8, 32, 32, 48),
    state_dim=24,
    max_steps=150,
    batch_sec=0.75,
    learning_rate=0.005,
    warmup_steps=20,
    plain_steps=40,
    kmeans_batches=10,
)
KINDS = ("rvq", "factorised", "group")
TOY = Toy(
    lambda folder: {
        "channels": (4, 8, 8, 12),
        "state_dim": 8,
        "codebook_size": 8,
        "max_steps": 3,
        "plain_steps": 1,
        "batch_sec": 0.5,
        "segment_sec": 0.25,
        "kmeans_batches": 2,
        "fit_memory_mib": 8,
    }
)


def fitted(config, audio, folder, seed=3):
    tokenizer = TrainedCodecTokenizer("toy", config)
    tokenizer.fit(audio, folder, seed)
    return tokenizer


def mel_distance(tokenizer, samples):
    codes = encode_whole(tokenizer, samples)
    audio = tokenizer.decode(codes[None], torch.tensor([len(codes)]))[:, : len(samples)]
    return float(ReconstructionLoss(16000, (512, 1024), 80)(audio, samples[None])["mel"])


def test_it_learns_one_sentence_by_heart(speech, tmp_path):
    audio = [(speech, "a")]
    before = mel_distance(
        fitted(dataclasses.replace(LEARNING, max_steps=1, plain_steps=0), audio, tmp_path / "0"), speech
    )
    tokenizer = fitted(LEARNING, audio, tmp_path / "1")
    after = mel_distance(tokenizer, speech)
    assert after < 0.75 * before, (before, after)
    codes = encode_whole(tokenizer, speech)
    assert all(len(codes[:, index].unique()) >= 12 for index in range(2))


@pytest.mark.parametrize("kind", KINDS)
def test_every_quantizer_is_saved_and_loaded(kind, speech, tmp_path):
    config = dataclasses.replace(SMALL, quantizer=kind)
    tokenizer = fitted(config, [(speech, "a")], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, "training"}
    assert [path.name for path in tokenizer.state_files] == [FILE_NAME]
    assert not list((tmp_path / "training").glob("*.pt"))
    codes = encode_whole(tokenizer, speech)
    loaded = TrainedCodecTokenizer("toy", config, tmp_path)
    assert loaded.is_fitted and torch.equal(encode_whole(loaded, speech), codes)
    assert not loaded.spec.differences(tokenizer.spec)
    assert codes.shape == (102, 2) and tokenizer.spec.frame_rate_hz == 50.0
    audio = loaded.decode(codes[None], torch.tensor([102]))
    assert audio.shape == (1, 102 * 320) and torch.isfinite(audio).all() and audio.std() > 0
    # One group of two levels: its dimensions are all there are.
    assert [tuple(book.shape) for book in loaded.codebooks()] == [(16, 8)] * 2


def test_the_same_fit_gives_the_same_bytes_and_another_seed_other_codes(speech, tmp_path):
    audio = [(speech[:16000], "a"), (speech[16000:], "b")]
    first, again = (fitted(SMALL, audio, tmp_path / name) for name in "ab")
    assert (tmp_path / "a" / FILE_NAME).read_bytes() == (tmp_path / "b" / FILE_NAME).read_bytes()
    assert not first.spec.differences(again.spec)
    other = fitted(SMALL, audio, tmp_path / "c", seed=4)
    assert list(first.spec.differences(other.spec)) == ["provenance.codec_sha256"]
    assert not torch.equal(encode_whole(first, speech), encode_whole(other, speech))


def test_a_training_that_an_earlier_version_began_is_named_and_kept(speech, tmp_path):
    former = tmp_path / "codec_checkpoint.pt"
    former.write_bytes(b"state")
    with pytest.raises(ValueError, match=r"codec_checkpoint\.pt is of a training that an earlier version began.*aside"):
        fitted(SMALL, [(speech, "a")], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [former.name]


def test_fitting_anew_forgets_the_old_codec(speech, tmp_path):
    tokenizer = fitted(SMALL, [(speech, "a")], tmp_path / "a")
    before, codes = tokenizer.spec, encode_whole(tokenizer, speech)
    tokenizer.fit([(speech, "a")], tmp_path / "b", seed=9)
    assert before.differences(tokenizer.spec) and not torch.equal(encode_whole(tokenizer, speech), codes)


def test_the_file_is_one_of_encodec_names(speech, tmp_path):
    """Fewer of its codebooks, or the codec elsewhere: by the tokenizer of published SEANet codecs."""
    codes = encode_whole(fitted(SMALL, [(speech, "a")], tmp_path), speech)
    settings = {"model": str(tmp_path / FILE_NAME), "num_codebooks": 1}
    assert torch.equal(encode_whole(make_codec("soundstream", settings), speech), codes[:, :1])


def test_other_settings_and_other_names_are_refused(speech, tmp_path):
    fitted(SMALL, [(speech, "a")], tmp_path)
    changed = dataclasses.replace(SMALL, learning_rate=0.5, max_minutes=3.0)
    with pytest.raises(ValueError, match=r"other settings than .* 'toy' has now \(learning_rate: 0.002 against 0.5\)"):
        TrainedCodecTokenizer("toy", changed, tmp_path).spec  # noqa: B018
    with pytest.raises(ValueError, match="feature_type: 'toy' against 'other'"):
        TrainedCodecTokenizer("other", SMALL, tmp_path).spec  # noqa: B018
    moved = dataclasses.replace(SMALL, max_minutes=3.0, checkpoint_steps=7)
    assert TrainedCodecTokenizer("toy", moved, tmp_path).spec.num_codebooks == 2


def test_a_damaged_file_names_itself_and_the_stage(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=rf"{FILE_NAME} cannot be read .* move it aside and rerun stage 2"):
        TrainedCodecTokenizer("toy", SMALL, tmp_path).spec  # noqa: B018


def test_stage_2_trains_it_once(speech, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech.numpy(), 16000)
    recording = Recording.from_file(tmp_path / "a.wav")
    cuts = [MonoCut(id="a", start=0, duration=recording.duration, channel=0, recording=recording)]
    state_dir = tmp_path / "state"
    tokenizer = TrainedCodecTokenizer("toy", SMALL, state_dir)
    assert fit_tokenizer(tokenizer, cuts, state_dir, seed=1)
    before = (state_dir / FILE_NAME).read_bytes()
    again = TrainedCodecTokenizer("toy", SMALL, state_dir)
    assert not fit_tokenizer(again, cuts, state_dir, seed=1)
    with pytest.raises(ValueError, match="was fitted with other seed"):
        fit_tokenizer(again, cuts, state_dir, seed=2)
    assert (state_dir / FILE_NAME).read_bytes() == before
