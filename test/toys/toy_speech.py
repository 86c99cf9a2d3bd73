"""Speech that a vocoder can learn in seconds: each code is a pitch, each speaker a colour of it."""

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, load_feature_cuts, write_cuts
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.nn.generators.contract import Prompt
from icefall_discrete.systems.contract import system_stages
from icefall_discrete.systems.vocoder.network import build_vocoder
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.training.averages import save_averaged

RATE, FRAME, SIZE = 8000, 160, 6
SPEC = FeatureSpec("pitches", "codes", RATE, 50.0, 1, (SIZE,), 0)
UNITS = FeatureSpec("pitches_rm", "codes", RATE, 10.0, 1, (SIZE,), 0, max_frame_rate_hz=50.0)
SPEAKERS = ("anna", "otto")
RECIPE = {
    "system": "vocoder",
    "model_size": "tiny",
    "model": {
        "generator": {"kind": "vocos", "vocos_dim": 16, "vocos_hidden_dim": 24, "vocos_num_layers": 2},
        "embedding_dim": 12,
        "voice_dim": 4,
    },
    "target": {"part_sec": 0.4},
    "loader": {"max_duration": 2.0, "num_buckets": 2},
    "loss": {"fft_sizes": [128, 256], "max_mel_bins": 16},
    "train": {
        "num_epochs": 2,
        "optimizer": {"kind": "adam", "peak_lr": 0.004, "schedule": "constant"},
        "average_period": 1,
        "tensorboard": False,
        "device": "cpu",
    },
    "average": {"avg": 1},
}


def sung(codes, speaker):
    """Samples (T F,) of codes: a tone for each, with overtones for the second speaker."""
    pitch = np.repeat(200.0 * (1 + np.asarray(codes)), FRAME)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return (0.2 * np.sin(phase) + (0.15 * np.sin(2 * phase) if speaker else 0.0)).astype(np.float32)


def write_split(folder: Path, split: str, num_cuts: int, seed: int, spec: FeatureSpec = SPEC):
    """Cuts of 0.5 to 0.9 s of either speaker by turns, with codes of the spec, in folder/features."""
    generator, cuts = np.random.default_rng(seed), []
    features, audio = folder / "features", folder / "audio"
    features.mkdir(parents=True, exist_ok=True)
    audio.mkdir(exist_ok=True)
    with FlatArchiveWriter(features / f"{split}.codes") as writer:
        for index in range(num_cuts):
            units = generator.integers(0, SIZE, 6)
            units[1:] = np.where(units[1:] == units[:-1], (units[1:] + 1) % SIZE, units[1:])
            durations = generator.integers(4, 8, 6)
            codes, name = np.repeat(units, durations), f"{split}-{index}"
            path = audio / f"{name}.wav"
            soundfile.write(path, sung(codes, index % 2), RATE, subtype="PCM_16")
            recording = Recording.from_file(path, recording_id=name)
            said = SupervisionSegment(name, name, 0.0, recording.duration, text="la", speaker=SPEAKERS[index % 2])
            cut = MonoCut(name, 0.0, recording.duration, 0, supervisions=[said], recording=recording)
            held = [units, durations] if spec.has_variable_rate else [codes]
            keys = [
                writer.store_array(f"{name}-{place}", rows.astype(np.int16)[:, None]).storage_key
                for place, rows in enumerate(held)
            ]
            cuts.append(attach_stored(cut, keys, spec, f"{split}.codes"))
    write_cuts(features / f"{split}.jsonl.gz", cuts)
    return cuts


def write_speech(folder: Path, spec: FeatureSpec = SPEC, num_train: int = 12, **changes):
    """Make folder/features and folder/recipe.json, with other sections of the recipe as `changes` say."""
    for seed, (split, number) in enumerate({"train": num_train, "dev": 2, "test": 2}.items()):
        write_split(folder, split, number, seed, spec)
    spec.write(folder / "features" / "spec.json")
    recipe = {**RECIPE, **{name: {**RECIPE.get(name, {}), **values} for name, values in changes.items()}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "models").mkdir()
    (folder / "models" / "tiny.json").write_text("{}")
    return folder


def make_experiment(folder: Path, spec: FeatureSpec, codebooks=None, recipe=None):
    """An experiment folder with its first weights, of a vocoder or another recipe; its corpus lies beside it."""
    recipe = recipe or RECIPE
    stages = system_stages(recipe["system"])
    sections = {name: values for name, values in recipe.items() if name != "model_size"}
    settings = stages.settings.from_dict(sections, "test")
    cuts = folder.parent / "features" / "train.jsonl.gz"
    targets = stages.targets(settings, load_feature_cuts(cuts)[0], folder.parent / "lang")
    Experiment(folder).start(settings, spec, targets, codebooks)
    torch.manual_seed(0)
    network = stages.network(settings, spec, targets, codebooks)
    save_averaged(folder, network.state_dict(), Provenance({}))
    return folder


def prompted_model(generator):
    """The model of RECIPE with a generator that hears the voice in a prompt."""
    return {**RECIPE["model"], "generator": generator, "voice_dim": 0}


def write_prompted_speech(folder: Path, model, num_cuts: int, **target):
    """As `write_speech`, for a model that takes prompts."""
    target = {"part_sec": 0.4, "prompt_sec": [0.5, 0.7], **target}
    return write_speech(folder, num_train=num_cuts, model=model, target=target)


@torch.no_grad()
def audible_network(model, of_vectors=1):
    """A vocoder of `model` whose generator is heard: its weights begin so small that nothing would be.

    of_vectors: what its biases, and other parameters of one dimension, are multiplied by.
    """
    torch.manual_seed(0)
    network = build_vocoder(TrainSettings.from_dict({"model": model}, "test").model, SPEC, 3).eval()
    for name, value in network.generator.named_parameters():
        if not name.startswith("front."):
            value.mul_(12 if value.dim() > 1 else of_vectors)
    return network


def some_codes(num_frames, seed=0):
    return torch.randint(SIZE, (num_frames, 1), generator=torch.Generator().manual_seed(seed))


def some_prompt(num_bins, number=1, frames=30, seed=0):
    mel = torch.randn(number, frames, num_bins, generator=torch.Generator().manual_seed(seed))
    return Prompt(mel, torch.full((number,), frames))
