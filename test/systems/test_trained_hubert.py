"""A tokenizer that trains its own encoder: what it writes, what its codes are, and what is refused."""

import dataclasses
import json
import logging

import pytest
import torch
from safetensors import safe_open
from toy_fits import SMALL_HUBERT as CONFIG
from toy_tokenizers import Toy

from icefall_discrete.audio.kaldi_features import make_fbank, make_mfcc
from icefall_discrete.systems.masked_prediction.trained_hubert import TrainedHubertTokenizer
from icefall_discrete.tokenizers.networks.mel_encoder import StackedMel, save_encoder
from icefall_discrete.tokenizers.quantizers import kmeans

TOY = Toy(
    lambda folder: {
        "num_layers": 1,
        "layer": 1,
        "dim": 16,
        "num_heads": 2,
        "ffn_dim": 32,
        "max_chunk_sec": 1.0,
        "teacher_clusters": (4, 6),
        "steps": (2, 2),
        "device": "cpu",
        "num_clusters": 8,
        "fit_memory_mib": 8,
    }
)


def fitted(folder, audio, config=CONFIG, seed=3):
    tokenizer = TrainedHubertTokenizer("toy", config)
    tokenizer.fit(audio, folder, seed)
    return tokenizer


def encode(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, fit_audio):
    return fitted(tmp_path_factory.mktemp("hubert"), fit_audio)


def test_another_tokenizer_reads_the_files(tokenizer, speech):
    reread = TrainedHubertTokenizer("toy", CONFIG, tokenizer.state_dir)
    assert reread.is_fitted
    reread.spec.require_same(tokenizer.spec, "a", "b")
    assert torch.equal(encode(reread, speech), encode(tokenizer, speech))
    assert [path.name for path in reread.state_files] == ["encoder.safetensors", "kmeans.safetensors"]
    assert sorted(path.name for path in tokenizer.state_dir.iterdir()) == [
        "encoder.safetensors", "kmeans.safetensors", "training", "training.json",
    ]  # fmt: skip


def test_what_was_trained_is_told(tokenizer):
    spec = tokenizer.spec
    assert (spec.kind, spec.frame_rate_hz, spec.codebook_sizes) == ("codes", 50.0, (8,))
    assert {"model_sha256", "kmeans_sha256", "layer", "normalisation", "max_chunk_sec"} <= set(spec.provenance)
    assert not {"steps", "learning_rate", "device", "fit_memory_mib"} & set(spec.provenance)
    report = json.loads((tokenizer.state_dir / "training.json").read_text())
    assert [iteration["units"] for iteration in report["iterations"]] == [4, 6]
    assert {"masked_accuracy", "most_frequent_unit", "unit_perplexity"} <= set(report["iterations"][1])
    with safe_open(tokenizer.encoder_path, framework="pt") as stream:
        made = json.loads(stream.metadata()["mel_encoder"])
    assert (made["feature_type"], made["seed"], made["settings"]["steps"]) == ("toy", 3, [3, 3])


def test_another_encoder_or_layer_under_the_centroids_is_refused(tokenizer, tmp_path):
    for path in tokenizer.state_files:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = dataclasses.replace(CONFIG, layer=1)
    with pytest.raises(ValueError, match=r"other settings .*layer: 2 against 1"):
        TrainedHubertTokenizer("toy", other, tmp_path).spec  # noqa: B018
    encoder = tokenizer._encoder()[0]
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    weights["mel_mean"] += 1.0
    swapped = type(encoder)(CONFIG)
    swapped.load_state_dict(weights)
    save_encoder(tmp_path / "encoder.safetensors", swapped, {})
    with pytest.raises(ValueError, match=r"other settings .*model_sha256"):
        TrainedHubertTokenizer("toy", CONFIG, tmp_path).spec  # noqa: B018


def test_an_encoder_that_cannot_be_read_says_what_to_do(tokenizer, tmp_path):
    for path in tokenizer.state_files:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    wider = dataclasses.replace(CONFIG, ffn_dim=48)
    with pytest.raises(ValueError, match=r"another shape than the settings say; restore .*ffn_dim"):
        TrainedHubertTokenizer("toy", wider, tmp_path).spec  # noqa: B018
    (tmp_path / "encoder.safetensors").write_bytes(tokenizer.encoder_path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"cannot be read .*move it aside and rerun stage 2"):
        TrainedHubertTokenizer("toy", CONFIG, tmp_path).spec  # noqa: B018
    (tmp_path / "encoder.safetensors").unlink()
    lost = TrainedHubertTokenizer("toy", CONFIG, tmp_path)
    assert not lost.is_fitted
    with pytest.raises(RuntimeError, match=r"not fitted .*encoder.safetensors is missing.*run stage 2"):
        lost.spec  # noqa: B018


def test_a_fit_killed_while_clustering_is_finished_with_the_same_bytes(tokenizer, tmp_path, fit_audio, monkeypatch):
    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kmeans, "write_tensors", die)
        fitted(tmp_path, fit_audio)
    assert not TrainedHubertTokenizer("toy", CONFIG, tmp_path).is_fitted
    again = fitted(tmp_path, fit_audio)
    for ours, theirs in zip(again.state_files, tokenizer.state_files):
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_training_that_an_earlier_version_began_is_named_and_kept(tmp_path, fit_audio):
    former = tmp_path / "training" / "checkpoint.pt"
    former.parent.mkdir()
    former.write_bytes(b"state")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is of a training that an earlier version began.*aside"):
        fitted(tmp_path, fit_audio)
    assert [path.name for path in former.parent.iterdir()] == ["checkpoint.pt"]


def test_audio_that_cannot_be_encoded_is_left_out_and_named(tokenizer, tmp_path, fit_audio, caplog):
    bad = [(torch.full((16000,), float("nan")), "utt-nan"), (torch.zeros(10), "utt-short")]
    with caplog.at_level(logging.WARNING):
        again = fitted(tmp_path, [*fit_audio[:4], *bad, *fit_audio[4:]])
    assert "left out of the training: cut utt-nan" in caplog.text and "'too_short': 1" in caplog.text
    assert again.encoder_path.read_bytes() == tokenizer.encoder_path.read_bytes()


def test_audio_that_can_be_read_once_only_is_refused(tmp_path, fit_audio):
    with pytest.raises(ValueError, match="audio is an iterator, but it is read twice"):
        fitted(tmp_path, iter(fit_audio))
    with pytest.raises(ValueError, match="no utterance could be used"):
        fitted(tmp_path, [])


def test_frames_lie_on_those_of_20_ms(speech):
    mel, mfcc, fbank = StackedMel(40), make_mfcc(16000, 0.02, 13), make_fbank(16000, 0.01, 40)
    lengths = [400, 479, 480, *range(8000, 8330, 20), 8079, 8081, 8159, 8161, 8239, 8241]
    for length in lengths:
        frames = mel(speech[:length])
        assert len(frames) == len(mfcc.extract(speech[:length], 16000)), length
        plain = fbank.extract(speech[:length], 16000)
        assert torch.equal(frames.flatten()[: plain.numel()], plain.flatten()[: frames.numel()])


def test_long_audio_is_encoded_in_equal_pieces(tokenizer, speech):
    encoder = tokenizer._encoder()[0]
    frames = StackedMel(40)(speech)
    whole = encoder.states(frames)
    encoder.config = dataclasses.replace(CONFIG, max_chunk_sec=1.0)
    pieces = encoder.states(frames)  # 101 frames, at most 50 at once: 34, 34 and 33
    encoder.config = CONFIG
    expected = torch.cat([encoder.states(piece) for piece in (frames[:34], frames[34:68], frames[68:])])
    assert torch.equal(pieces, expected)
    assert pieces.shape == whole.shape and not torch.allclose(pieces, whole, atol=1e-3)


def test_other_numbers_are_in_the_provenance(tokenizer, speech):
    half = TrainedHubertTokenizer("toy", CONFIG, tokenizer.state_dir)
    half.to("cpu", "bfloat16")
    assert set(half.spec.differences(tokenizer.spec)) == {"provenance.dtype"}
    same = (encode(half, speech) == encode(tokenizer, speech)).float().mean()
    assert same > 0.8
