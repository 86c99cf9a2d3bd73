"""A published unit vocoder gives here what its authors' class gives, and what is another is refused with its file."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.unit_hifigan import write_experiment
from icefall_discrete.inference.speaker import Speaker

GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "unit_hifigan.safetensors"
SPEC = FeatureSpec("twenty", "codes", 1000, 50.0, 1, (20,), 0)


@pytest.fixture(scope="module")
def golden():
    with safe_open(GOLDEN, "pt") as held:
        config = json.loads(held.metadata()["config"])
    return load_file(GOLDEN), config


def published(folder, golden, spec=SPEC, **changes):
    """Files as they are published, and a folder of features; with changes of the configuration."""
    tensors, config = golden
    folder.mkdir(exist_ok=True)
    weights = {name[10:]: value for name, value in tensors.items() if name.startswith("generator.")}
    weights.update(changes.pop("weights", {}))
    torch.save({"generator": weights}, folder / "g_00500000")
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    (folder / "features").mkdir(exist_ok=True)
    spec.write(folder / "features" / "spec.json")
    return folder / "V", folder / "g_00500000", folder / "config.json", folder / "features"


def test_it_says_what_the_authors_class_says(golden, tmp_path):
    settings = write_experiment(*published(tmp_path, golden))
    assert settings.model.generator.upsample_rates == (5, 4) and settings.model.durations.predict_durations
    speaker, tensors = Speaker(tmp_path / "V"), golden[0]
    assert (speaker.sample_rate_hz, speaker.voices.names) == (1000, ["0", "1", "2"])
    codes = tensors["codes"][:, None]
    torch.testing.assert_close(speaker.say(codes, "2"), tensors["audio"], atol=2e-6, rtol=0)
    found = speaker.network.log_durations(codes[None], torch.tensor([len(codes)]))[0].detach()
    torch.testing.assert_close(found, tensors["log_durations"], atol=1e-5, rtol=0)
    spoken = speaker.say_units(codes, "2")
    assert len(spoken) > len(tensors["audio"])
    torch.testing.assert_close(spoken, tensors["spoken"], atol=2e-6, rtol=0)
    assert Experiment(tmp_path / "V").settings() == settings


def test_what_does_not_belong_together_is_refused_and_nothing_is_left(golden, tmp_path):
    odd = {"f0_quant_embed.weight": torch.zeros(3, 8)}
    cases = [
        ({"sampling_rate": 16000}, "'sampling_rate' is 16000, but 'twenty' has 1000; it is a vocoder of another rate"),
        ({"code_hop_size": 10}, "'code_hop_size' is 10, but 'twenty' has 20"),
        ({"upsample_rates": [5, 2]}, "make 10 samples of a frame, but these codes have a frame every 20 samples"),
        ({"upsample_rates": "5,4"}, "'upsample_rates' is '5,4', expected a list of whole numbers"),
        ({"resblock": "2"}, "other residual blocks are not known here"),
        ({"weights": odd}, "reads F0 beside units"),
        ({"weights": {"spkr.bias": torch.zeros(8)}}, "takes voices as vectors"),
        ({"weights": {"more.weight": torch.zeros(8)}}, "has no weight 'more.bias'"),
        ({"spec": FeatureSpec("forty", "codes", 1000, 50.0, 1, (40,), 0)}, "has 20 units, but 'forty' has [40]"),
    ]
    for number, (changes, sentence) in enumerate(cases):
        folder = tmp_path / str(number)
        with pytest.raises(ValueError) as caught:
            write_experiment(*published(folder, golden, **changes))
        assert sentence in str(caught.value), str(caught.value)
        assert not (folder / "V").exists()
