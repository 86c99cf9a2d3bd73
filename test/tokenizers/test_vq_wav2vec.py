"""Codes of vq-wav2vec against fairseq: what its quantizers gave for the same weights and audio."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.vq_wav2vec import VqWav2vecConfig, VqWav2vecTokenizer

CHECKPOINTS = Path(__file__).resolve().parents[1] / "assets" / "fairseq"
TOY = Toy(lambda folder: {"model": str(CHECKPOINTS / "vq_kmeans.pt")}, edge_frames=3)


def tokenizer_of(name):
    return VqWav2vecTokenizer("toy", VqWav2vecConfig(model=str(CHECKPOINTS / f"{name}.pt")))


# Logits of two layers and a codebook for each group, of one layer and a shared one; k-means with shared and own ones.
@pytest.mark.parametrize("name", ["vq_gumbel", "vq_gumbel1", "vq_kmeans", "vq_kmeans_own"])
def test_codes_equal_fairseq(speech, name):
    with np.load(CHECKPOINTS / "golden.npz") as golden:
        expected = golden[name]
    tokenizer = tokenizer_of(name)
    samples = speech[4000:13600]
    codes, _ = tokenizer.encode(samples[None], torch.tensor([len(samples)]))
    np.testing.assert_array_equal(codes[0].numpy(), expected)
    shared = torch.equal(*tokenizer.codebooks())
    assert shared == (name in ("vq_gumbel1", "vq_kmeans"))
    assert [tuple(book.shape) for book in tokenizer.codebooks()] == [(12, 4), (12, 4)]


def test_spec(speech):
    spec = tokenizer_of("vq_kmeans").spec
    assert (spec.frame_rate_hz, spec.num_codebooks, spec.codebook_sizes) == (100.0, 2, (12, 12))
    assert spec.provenance["model"] == "vq_kmeans.pt"
    assert set(spec.differences(tokenizer_of("vq_kmeans_own").spec)) == {"provenance.model", "provenance.model_sha256"}
    with pytest.raises(ValueError, match=r"wav2vec\.pt is wav2vec without a quantizer; use .* wav2vec_kmeans"):
        _ = tokenizer_of("wav2vec").spec
    with pytest.raises(FileNotFoundError, match=r"vq-wav2vec_kmeans\.pt"):
        _ = load_tokenizer("vq_wav2vec").spec
