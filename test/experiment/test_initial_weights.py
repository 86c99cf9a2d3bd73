"""Weights of another training: what means something else is refused."""

import pytest
import torch
from toy_settings import model_config

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.experiment.initial_weights import begin_with
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.systems.training_settings import InitialConfig

FBANK = FeatureSpec("toy_fbank", "continuous", 16000, 100.0, 0, (), 80)
CODES = FeatureSpec("toy", "codes", 16000, 50.0, 1, (10,), 0)
SHAPE = {"downsampling_factor": (1,), "encoder_dim": (16,), "num_encoder_layers": (1,), "encoder_unmasked_dim": (16,)}
REST = {"num_heads": (2,), "feedforward_dim": (16,), "cnn_module_kernel": (5,), "embedding_dim": 0, "codebook_dim": 80}


def test_weights_of_codes_say_nothing_of_the_mean_of_features(tmp_path):
    config = model_config(**SHAPE, **REST, front_end="conv1d")
    on_codes = build_transducer(config, CODES, 11, AugmentConfig())
    on_features = build_transducer(config, FBANK, 11, AugmentConfig())
    torch.save({"model": on_codes.state_dict()}, tmp_path / "ours.pt")
    with pytest.raises(ValueError, match=r"input_embedding does not fit \(it has no input_embedding\.mean\)"):
        begin_with(on_features, InitialConfig(str(tmp_path / "ours.pt")), FBANK, None)
    with pytest.raises(FileNotFoundError, match=r"is no experiment: it has no config\.json; correct"):
        begin_with(on_features, InitialConfig(str(tmp_path)), FBANK, None)
    begin_with(on_features, InitialConfig(str(tmp_path / "ours.pt"), ("front_end", "encoder")), FBANK, None)
    expected = on_codes.encoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in on_features.encoder.state_dict().items())
