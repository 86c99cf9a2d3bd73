"""wav2vec against fairseq: what its code gave for the same weights and audio."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.tokenizers.frames.wav2vec import Wav2vecFrames, Wav2vecSettings
from icefall_discrete.tokenizers.networks.wav2vec import Wav2VecModel

CHECKPOINTS = Path(__file__).resolve().parents[1] / "assets" / "fairseq"
TOY = Toy(lambda folder: {"model": str(CHECKPOINTS / "wav2vec.pt")}, edge_frames=3)


def encoder_of(name, output):
    return Wav2vecFrames(Wav2vecSettings(model=str(CHECKPOINTS / f"{name}.pt"), output=output))


# The second has residuals in the encoder, GELU, zero padding, no bias, no affine norm and no logarithm.
@pytest.mark.parametrize("name", ["wav2vec", "wav2vec_skip"])
@pytest.mark.parametrize("output, key", [("context", "c"), ("encoder", "z")])
def test_frames_equal_fairseq(speech, name, output, key):
    with np.load(CHECKPOINTS / "golden.npz") as golden:
        expected = torch.from_numpy(golden[f"{name}_{key}"])
    encoder = encoder_of(name, output)
    torch.testing.assert_close(encoder.frames(speech[4000:13600]), expected, atol=1e-5, rtol=1e-4)
    assert encoder.dim == expected.shape[1]


def test_the_context_looks_back_only(speech):
    # Without the norms, which run over the whole utterance.
    model = Wav2VecModel(CHECKPOINTS / "wav2vec.pt")
    features = model.features(speech)[:50]
    changed = features.clone()
    changed[30:] = 0.0
    for norm in model.aggregator.norms:
        norm.forward = lambda x: x
    with torch.no_grad():
        before, after = (model.aggregator(x.T[None])[0].T for x in (features, changed))
    torch.testing.assert_close(before[:30], after[:30])
    assert not torch.allclose(before[30:], after[30:])


def test_other_models_and_settings_are_refused(speech, tmp_path):
    with pytest.raises(ValueError, match=r"hubert\.pt is no wav2vec or vq-wav2vec"):
        encoder_of("hubert", "context").frames(speech)
    with pytest.raises(ValueError, match="output is 'codes'"):
        Wav2vecSettings(output="codes")
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        encoder_of("none", "context").frames(speech)
    torch.save({"args": {"conv_aggregator_layers": "[(2, 2, 1)]", "conv_feature_layers": "[(2, 10, 5)]"}, "model": {
        "feature_extractor.conv_layers.0.0.weight": torch.zeros(2, 1, 10)}}, tmp_path / "short.pt")  # fmt: skip
    with pytest.raises(ValueError, match=r"window and hop \(10, 5\), expected the published ones"):
        Wav2VecModel(tmp_path / "short.pt")
