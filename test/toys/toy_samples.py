"""What reads samples: a toy of its shape, batches and a corpus of noise."""

import json

import torch
from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach, write_cuts

SPEC = FeatureSpec("waveform", "continuous", 16000, 200.0, 0, (), 80)
CPU = torch.device("cpu")
TOY = {
    "embedding_dim": 0,
    "front_end": {"kind": "waveform", "channels": 16, "kernels": [10, 4, 4], "strides": [5, 4, 4]},
    "encoder": {
        "kind": "wav2vec2",
        "dim": 16,
        "num_layers": 2,
        "num_heads": 2,
        "feedforward_dim": 24,
        "position_kernel": 8,
        "position_groups": 4,
        **dict.fromkeys(("dropout", "attention_dropout", "layer_dropout"), 0.0),
    },
    "quantizer": {"kind": "gumbel", "group_codes": 6, "out_dim": 8},
    "target_dim": 12,
    "target_dropout": 0.0,
}


def changed(model, **parts):
    return {**model, **{name: {**model[name], **value} for name, value in parts.items()}}


LARGE = changed(TOY, front_end={"norm": "layer", "conv_bias": True}, encoder={"norm_first": True})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def samples(lens, seed=0):
    rows = [torch.randn(length, 80, generator=generator(seed + length)) for length in lens]
    return {
        "features": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        "frame_lens": torch.tensor(lens),
        "cut_ids": [f"cut-{length}" for length in lens],
    }


def write_samples(folder, recipe):
    """Cuts of noise, as the stages before training leave them; a section of None is left out of the recipe."""
    (folder / "features").mkdir(parents=True)
    SPEC.write(folder / "features" / "spec.json")
    for split, count in (("train", 12), ("dev", 3)):
        cuts = []
        with FlatArchiveWriter(folder / "features" / f"{split}.codes") as writer:
            for index, length in enumerate(range(60, 60 + 5 * count, 5)):
                frames = samples([length], seed=index)["features"][0].numpy()
                array = writer.store_array(f"{split}-{index}", frames, frame_shift=0.005, temporal_dim=0, start=0.0)
                array.array.storage_path = f"{split}.codes"
                recording = Recording(f"{split}-{index}", [], 16000, 80 * length, length / 200.0)
                said = [SupervisionSegment(f"{split}-{index}", recording.id, 0.0, recording.duration, language="en")]
                cut = MonoCut(recording.id, 0.0, recording.duration, 0, supervisions=said, recording=recording)
                cuts.append(attach(cut, array, SPEC))
        write_cuts(folder / "features" / f"{split}.jsonl.gz", cuts)
    general = {
        "model_size": "tiny",
        "mask": {"length": 4},
        "loader": {"max_duration": 0.9, "num_buckets": 2, "crop_sec": 0.4},
        "train": {
            "num_epochs": 2,
            "average_period": 2,
            "tensorboard": False,
            "optimizer": {"kind": "adam", "warmup_steps": 4},
        },
    }
    sections = {name: value for name, value in {**general, **recipe}.items() if value is not None}
    (folder / "recipe.json").write_text(json.dumps(sections))
    return folder
