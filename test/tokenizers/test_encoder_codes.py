"""Codes of a vq-wav2vec that was trained here: those of its front end, and frames of its context of their vectors."""

import json

import pytest
import torch
from test_encoder import MODEL, hand_on
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

VQ_WAV2VEC = {
    "embedding_dim": 0,
    "front_end": {
        "kind": "wav2vec",
        "channels": 8,
        "quantizer": {"kind": "kmeans", "group_codes": 6, "out_dim": 8, "own_channels": True, "norm_over": "utterance"},
    },
    "encoder": {"kind": "wav2vec", "dim": 8, "context_kernels": [2, 3]},
}


def _toy(folder):
    hand_on(folder / "model", VQ_WAV2VEC)
    return {"model": str(folder / "model")}


TOY = Toy(_toy, edge_frames=3)


def tokenizer(tmp_path, name, folder):
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({"tokenizer": name, "model": str(folder)}))
    return load_tokenizer(path)


def test_codes_and_frames_are_those_of_the_network(tmp_path, speech):
    network = hand_on(tmp_path / "model", VQ_WAV2VEC)
    samples, lens = speech[:16000], torch.tensor([200])
    with torch.no_grad():
        heard = network.front_end.hear(samples.view(1, -1, 80), lens)
        encoded = network.encode(samples.view(1, -1, 80), lens).encoder_out
    made = tokenizer(tmp_path, "encoder_codes", tmp_path / "model")
    codes, code_lens = made.encode(samples[None], torch.tensor([16000]))
    assert torch.equal(codes[0], heard.quantized.codes) and code_lens.tolist() == [98]
    assert made.spec.codebook_sizes == (6, 6) and made.spec.frame_rate_hz == 100.0
    assert made.spec.provenance["reads"] == "waveform"
    books = network.front_end.quantizer.vectors.detach()
    assert torch.equal(torch.stack(made.codebooks()), books)
    frames, _ = tokenizer(tmp_path, "encoder", tmp_path / "model").encode(samples[None], torch.tensor([16000]))
    torch.testing.assert_close(frames, encoded, rtol=1e-5, atol=1e-5)


def test_a_model_without_codes_is_refused_in_a_sentence(tmp_path):
    hand_on(tmp_path / "model", MODEL)
    with pytest.raises(ValueError, match="its front end has no quantizer; take tokenizer encoder_kmeans"):
        tokenizer(tmp_path, "encoder_codes", tmp_path / "model").spec  # noqa: B018
