"""Frames of an encoder that was trained here: those that the network itself gives, and what is no such folder."""

import json
import shutil

import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.systems.asr.transducer import ModelConfig, build_transducer
from icefall_discrete.tokenizers import load_tokenizer

MODEL = {
    "embedding_dim": 0,
    "front_end": {"kind": "waveform", "channels": 16},
    "encoder": {
        "kind": "wav2vec2",
        "dim": 16,
        "num_layers": 2,
        "num_heads": 2,
        "feedforward_dim": 24,
        "position_kernel": 8,
        "position_groups": 4,
    },
}


def hand_on(folder, model=MODEL):
    """A recogniser of samples with random weights, as local/average.py --to leaves it; its network."""
    (folder / "tokenizer").mkdir(parents=True)
    conf = folder / "tokenizer" / "waveform.json"
    conf.write_text(json.dumps({"tokenizer": "waveform", "frame_samples": 80}))
    spec = load_tokenizer(conf).spec
    spec.write(folder / "spec.json")
    config = from_dict(ModelConfig, model, "test")
    (folder / "config.json").write_text(json.dumps({"system": "asr", "model": to_dict(config)}))
    torch.manual_seed(0)
    network = build_transducer(config, spec, 11, AugmentConfig()).eval()
    save_checkpoint(folder / "averaged.pt", {"model": network.state_dict()})
    return network


def _toy(folder):
    hand_on(folder / "model")
    return {"model": str(folder / "model")}


TOY = Toy(_toy, edge_frames=2)


@pytest.fixture(scope="module")
def handed_on(tmp_path_factory):
    """The folder, and its network."""
    folder = tmp_path_factory.mktemp("encoder") / "model"
    return folder, hand_on(folder)


def tokenizer(tmp_path, folder, **settings):
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({"tokenizer": "encoder", "model": str(folder), **settings}))
    return load_tokenizer(path)


def test_frames_are_those_of_the_network_also_of_an_inner_layer(handed_on, tmp_path, speech):
    folder, network = handed_on
    samples = speech[:16000]
    with torch.no_grad():
        encoded = network.encode(samples.view(1, -1, 80), torch.tensor([200]), inner=[0])
    for layer, expected in ((0, encoded.encoder_out), (1, encoded.inner[0][0])):
        made = tokenizer(tmp_path, folder, layer=layer)
        frames, lens = made.encode(samples[None], torch.tensor([16000]))
        torch.testing.assert_close(frames, expected, rtol=1e-5, atol=1e-5)
        assert lens.tolist() == [49] and made.spec.frame_rate_hz == 50.0 and made.spec.feature_dim == 16
        assert made.spec.provenance["reads"] == "waveform" and made.spec.provenance["layer"] == layer


def test_units_are_k_means_of_them(handed_on, tmp_path, fit_audio):
    path = tmp_path / "units.json"
    path.write_text(
        json.dumps({"tokenizer": "encoder_kmeans", "model": str(handed_on[0]), "layer": 1, "num_clusters": 4})
    )
    made = load_tokenizer(path, state_dir=tmp_path)
    made.fit(fit_audio, tmp_path, 0)
    codes, lens = made.encode(fit_audio[0][0][None], torch.tensor([len(fit_audio[0][0])]))
    assert made.spec.codebook_sizes == (4,) and codes.shape == (1, int(lens[0]), 1) and int(codes.max()) < 4


def test_what_is_no_such_folder_is_refused_in_a_sentence(handed_on, tmp_path):
    folder, _ = handed_on
    with pytest.raises(ValueError, match=r"layer is 3, but the encoder of .* has 2"):
        tokenizer(tmp_path, folder, layer=3).spec  # noqa: B018
    with pytest.raises(FileNotFoundError, match=r"has no averaged\.pt or model\.safetensors; hand an experiment on"):
        tokenizer(tmp_path, tmp_path / "none").spec  # noqa: B018
    other = shutil.copytree(folder, tmp_path / "other")
    FeatureSpec("another", "continuous", 16000, 200.0, 0, (), 80).write(other / "spec.json")
    made = tokenizer(tmp_path, other)
    with pytest.raises(FileNotFoundError, match=r"tokenizer holds waveform\.json, expected another\.json"):
        made.encode(torch.zeros(1, 16000), torch.tensor([16000]))
