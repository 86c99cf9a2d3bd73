"""CPC against GSLM's reader: what it gave for the same weights and audio, its pieces included."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.tokenizers.frames.cpc import CpcFrames, CpcSettings

MODEL = Path(__file__).resolve().parents[1] / "assets" / "fairseq" / "cpc.pt"
TOY = Toy(lambda folder: {"model": str(MODEL), "chunk_sec": 0.5})


def encoder_of(model=MODEL, **settings):
    return CpcFrames(CpcSettings(model=str(model), **settings))


@pytest.mark.parametrize(
    "key, settings",
    [
        ("cpc_l2", {"layer": 2, "chunk_sec": 0.2}),
        ("cpc_l1", {"layer": 1}),
        ("cpc_l0_norm", {"layer": 0, "norm_features": True}),
    ],
)
def test_frames_equal_gslm(speech, key, settings):
    with np.load(MODEL.parent / "golden.npz") as golden:
        expected = torch.from_numpy(golden[key])
    encoder = encoder_of(**settings)
    torch.testing.assert_close(encoder.frames(speech[4000:13000]), expected, atol=5e-5, rtol=1e-4)
    assert encoder.dim == expected.shape[1]


def test_pieces(speech):
    whole, pieces = encoder_of(chunk_sec=0.0).frames(speech), encoder_of(chunk_sec=0.5).frames(speech)
    assert abs(len(whole) - len(speech) / 160) <= 1 and len(pieces) == len(whole)
    torch.testing.assert_close(pieces[:50], encoder_of(chunk_sec=0.0).frames(speech[:8000]))
    torch.testing.assert_close(pieces[200:], whole[200:])
    assert (pieces[50:100] - whole[50:100]).abs().max() > 1e-3


def test_checkpoints_of_cpc_audio_are_read(tmp_path, speech):
    checkpoint = read_checkpoint(MODEL)
    weights = {f"module.{name}": value for name, value in checkpoint["weights"].items()}
    torch.save({"gEncoder": weights, "optimizer": None}, tmp_path / "checkpoint_9.pt")
    (tmp_path / "checkpoint_args.json").write_text(json.dumps(checkpoint["config"]))
    assert torch.equal(encoder_of(tmp_path / "checkpoint_9.pt").frames(speech), encoder_of().frames(speech))
    (tmp_path / "checkpoint_args.json").write_text(json.dumps({**checkpoint["config"], "arMode": "transformer"}))
    with pytest.raises(ValueError, match="is a CPC with transformer and layerNorm, expected LSTM or GRU"):
        encoder_of(tmp_path / "checkpoint_9.pt").frames(speech)


def test_models_that_cannot_be_read_are_named(speech):
    with pytest.raises(ValueError, match=r"layer is 3, but .*cpc\.pt has recurrent layers 1 to 2"):
        encoder_of(layer=3).frames(speech)
    with pytest.raises(ValueError, match=r"hubert\.pt is no checkpoint of CPC"):
        encoder_of(MODEL.parent / "hubert.pt").frames(speech)
    with pytest.raises(ValueError, match=r"chunk_sec is 0\.01"):
        CpcSettings(chunk_sec=0.01)
