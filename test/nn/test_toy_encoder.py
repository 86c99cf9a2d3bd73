"""Adding an encoder is adding a folder: one that lies in a temporary folder trains as the others do."""

import sys

import pytest
import torch
from synthetic_codes import make_trainer
from toy_settings import model_config

import icefall_discrete.nn.encoders
from icefall_discrete.nn.encoders.contract import ENCODERS, build_encoder, streaming_encoder

CONFIG = '''"""Settings of an encoder that adds up what came before."""

import dataclasses
from typing import Sequence

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.encoders.contract import EncoderConfig


@dataclasses.dataclass(frozen=True)
class SummingConfig(EncoderConfig):
    """A running sum and a layer."""

    width: int = setting(24, "dimension of everything", minimum=1)
    stride = 1
    input_dropout = 0.0

    @property
    def in_dim(self) -> int:
        return self.width

    @property
    def out_dim(self) -> int:
        return self.width

    @property
    def inner_dims(self) -> Sequence[int]:
        return (self.width,)
'''
ENCODER = '''"""An encoder that adds up what came before."""

from torch import nn

from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput


class Summing(Encoder):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.Linear(config.width, config.width)

    def forward(self, x, lens, inner=()):
        out = self.layer(x + x.cumsum(dim=1) / 10.0).tanh()
        return EncoderOutput(out, lens, [(out, lens) for _ in inner])
'''


@pytest.fixture
def summing(tmp_path, monkeypatch):
    folder = tmp_path / "encoders" / "summing"
    folder.mkdir(parents=True)
    for name, text in {"__init__": '"""Summing."""\n', "config": CONFIG, "encoder": ENCODER}.items():
        (folder / f"{name}.py").write_text(text)
    paths = icefall_discrete.nn.encoders.__path__
    monkeypatch.setattr(icefall_discrete.nn.encoders, "__path__", [*paths, str(folder.parent)])
    yield
    for name in [name for name in sys.modules if name.startswith("icefall_discrete.nn.encoders.summing")]:
        del sys.modules[name]


def test_it_is_found_by_its_folder(summing):
    assert set(ENCODERS.names()) >= {"summing", "zipformer"}
    config = model_config(encoder={"kind": "summing", "width": 8}, front_end="conv1d")
    assert config.encoder.width == 8
    assert config.num_encoder_frames(20) == 10
    encoder = build_encoder(config.encoder)
    assert encoder(torch.randn(2, 5, 8), torch.tensor([5, 3])).encoder_out.shape == (2, 5, 8)
    with pytest.raises(ValueError, match="encoder summing cannot stream"):
        streaming_encoder(encoder, 4, 4)


def test_it_trains(summing, corpus_dir, tmp_path):
    encoder = {"kind": "summing", "width": 32}
    trainer, data = make_trainer(corpus_dir, tmp_path / "exp", model__encoder=encoder, train__num_epochs=8)
    epochs = trainer.fit(data)["epochs"]
    assert type(trainer.model.encoder).__name__ == "Summing"
    assert epochs[-1]["train"]["loss"] < 0.85 * epochs[0]["train"]["loss"]
