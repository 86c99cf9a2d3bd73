"""Settings of fairseq checkpoints: found in each of their forms, never evaluated."""

from pathlib import Path

import pytest
import torch

from icefall_discrete.tokenizers.formats.fairseq_checkpoints import parse_layers, read_fairseq

CHECKPOINTS = Path(__file__).resolve().parents[1] / "assets" / "fairseq"


@pytest.mark.parametrize(
    "text",
    [
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
        "[(512, 10, 5), (512, 8, 4), (512, 4, 2), (512, 4, 2), (512, 4, 2), (512, 1, 1), (512, 1, 1)]",
        "[(6,10,5)] + [(6,3,2)] * 4 + [(6,2,2)] * 2",
    ],
)
def test_layers_are_those_that_python_gives(text):
    assert parse_layers(text, "x.pt") == eval(text)


@pytest.mark.parametrize(
    "text",
    ["__import__('os').getcwd()", "[(1, 2, 3)] * 10000000", "[(1, 2, 3)", "(1, 2, 3)", "[x for x in (1,)]", "[1]", "7"],
)
def test_layers_that_are_something_else_are_refused(text):
    with pytest.raises(ValueError, match=r"x\.pt: layers .* are not understood"):
        parse_layers(text, "x.pt")


@pytest.mark.parametrize("name", ["hubert", "wav2vec2", "wav2vec2_ctc", "wavlm_large"])
def test_settings_are_those_of_the_encoder(name):
    settings, weights = read_fairseq(CHECKPOINTS / f"{name}.pt")
    assert settings["encoder_layers"] == 3 and settings["encoder_attention_heads"] == 2
    assert str(settings["extractor_mode"]) == ("default" if name == "wav2vec2" else "layer_norm")
    assert settings["layer_norm_first"] is settings["normalize"] is (name != "wav2vec2")
    assert len(weights) > 50 and all(isinstance(value, torch.Tensor) for value in weights.values())


def test_files_without_settings_or_weights_are_refused(tmp_path):
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "bare.pt")
    with pytest.raises(ValueError, match=r"bare\.pt has neither 'cfg' nor 'args'"):
        read_fairseq(tmp_path / "bare.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt is no checkpoint of fairseq or unilm"):
        read_fairseq(tmp_path / "other.pt")
