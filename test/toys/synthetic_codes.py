"""A corpus that can be learnt in seconds: each letter is a code of its own, held for some frames."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import MonoCut, Recording, SupervisionSegment
from safetensors.torch import save_file

from icefall_discrete.base import random_state
from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach, load_feature_cuts, write_cuts
from icefall_discrete.experiment.folder import read_codebooks
from icefall_discrete.systems.assembly import build_network, build_trainer, filtered_corpus, training_data
from icefall_discrete.systems.contract import stages_of, system_stages
from icefall_discrete.text.pieces import train_bpe
from icefall_discrete.training.averages import epoch_path
from icefall_discrete.training.distributed import Group

LETTERS = "abcdefgh"
ALONE = Group()
SPEC = FeatureSpec("synthetic", "codes", 16000, 50.0, 1, (2 * len(LETTERS),), 0)
FRAMES_PER_LETTER = (6, 10)

TINY_RECIPE = {
    "model": {
        "downsampling_factor": [1, 2],
        "encoder_dim": [32, 48],
        "num_encoder_layers": [1, 1],
        "encoder_unmasked_dim": [32],
        "num_heads": [2],
        "query_head_dim": [8],
        "value_head_dim": [8],
        "feedforward_dim": [64, 96],
        "cnn_module_kernel": [7],
        "warmup_batches": 20.0,
        "dropout": [0.05],
        "front_end": "conv1d",
        "embedding_dim": 16,
        "embedding_init": "auto",
        "decoder_dim": 32,
        "joiner_dim": 32,
        "inner_ctc_stacks": [0],
    },
    "loader": {"max_duration": 8.0, "num_buckets": 3, "curriculum_epochs": 1},
    "augment": {"augment_start_epoch": 2},
    "loss": {"ctc_loss_scale": 0.5, "inner_ctc_loss_scale": 0.2, "rnnt_warm_step": 5},
    "train": {"num_epochs": 2, "average_period": 2, "log_interval": 2, "lr_warmup_batches": 10.0, "tensorboard": False},
    "bpe": {"vocab_size": 20},
}


def random_text(generator, num_words):
    return " ".join("".join(generator.choices(LETTERS, k=generator.randint(2, 3))) for _ in range(num_words))


def codes_of(text, generator, voice=None):
    """Codes (T, 1): a letter's own code (of two: drawn at random, or number `voice`) for some frames."""
    codes = []
    for letter in text.replace(" ", ""):
        code = 2 * LETTERS.index(letter) + (generator.randint(0, 1) if voice is None else voice)
        codes.extend([code] * generator.randint(*FRAMES_PER_LETTER))
    return np.array(codes, dtype=np.int16)[:, None]


def write_split(folder, split, num_cuts, seed, languages=()):
    """Cuts in `languages` by turns, which differ in the codes of a letter; or without a language."""
    generator = random.Random(seed)
    cuts = []
    with FlatArchiveWriter(folder / f"{split}.codes") as writer:
        for index in range(num_cuts):
            text = random_text(generator, generator.randint(1, 3))
            language = languages[index % len(languages)] if languages else None
            codes = codes_of(text, generator, sorted(set(languages)).index(language) if languages else None)
            cut_id = f"{split}-{index}"
            array = writer.store_array(cut_id, codes, frame_shift=0.02, temporal_dim=0, start=0.0)
            array.array.storage_path = f"{split}.codes"
            duration = len(codes) / 50.0
            recording = Recording(cut_id, [], 16000, round(duration * 16000), duration)
            supervision = SupervisionSegment(cut_id, cut_id, 0.0, duration, text=text, language=language)
            cut = MonoCut(cut_id, 0.0, duration, 0, supervisions=[supervision], recording=recording)
            cuts.append(attach(cut, array, SPEC))
    write_cuts(folder / f"{split}.jsonl.gz", cuts)
    return [cut.supervisions[0].text for cut in cuts]


def write_corpus(folder: Path, num_train=24, num_dev=6, languages=()):
    """Make folder/features, folder/lang and folder/recipe.json, as the stages before training leave them.

    With `languages`, the pieces have a token for each of them.
    """
    features, lang = folder / "features", folder / "lang"
    features.mkdir(parents=True)
    lang.mkdir()
    texts = write_split(features, "train", num_train, 1, languages)
    write_split(features, "dev", num_dev, 2, languages)
    SPEC.write(features / "spec.json")
    codebook = torch.randn(SPEC.codebook_sizes[0], 12, generator=torch.Generator().manual_seed(0))
    save_file({"0": codebook}, str(features / "codebooks.safetensors"))
    train_bpe([*texts, " ".join(LETTERS)], TINY_RECIPE["bpe"]["vocab_size"], lang / "bpe.model", sorted(set(languages)))
    (folder / "recipe.json").write_text(json.dumps({**TINY_RECIPE, "model_size": "tiny"}))
    (folder / "models").mkdir()
    (folder / "models" / "tiny.json").write_text("{}")
    return folder


# Of a training that is to learn a few utterances by heart.
BY_HEART = {
    "train__num_epochs": 1,
    "train__average_period": 20,
    "train__ref_duration": 0.1,
    "train__lr_batches": 60.0,
    "model__dropout": [0.0],
    "model__embedding_init": "codebook",
}


def make_trainer(folder: Path, exp_dir: Path, group: Group = ALONE, device: str = "cpu", **changes):
    """A trainer and its data on the corpus of `write_corpus`; changes are settings named <section>__<setting>."""
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe.pop("model_size")
    changed = {}
    for name, value in changes.items():
        section, key = name.split("__")
        changed.setdefault(section, {})[key] = value
    settings = stages_of(recipe).settings.from_layers([(recipe, "recipe"), (changed, "test")])
    exp_dir.mkdir(parents=True, exist_ok=True)
    random_state.seed_everything(settings.train.seed)
    train, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    valid, _ = load_feature_cuts(folder / "features" / "dev.jsonl.gz", spec)
    stages = system_stages(settings.system)
    train = stages.with_more(settings, train, spec, folder / "features", "train")
    valid = stages.with_more(settings, valid, spec, folder / "features", "dev")
    targets = stages.targets(settings, train, folder / "lang")
    corpus = filtered_corpus(settings, spec, train, valid, targets)
    model = build_network(settings, corpus, read_codebooks(folder / "features" / "codebooks.safetensors"))
    trainer = build_trainer(settings, corpus, model.to(device), exp_dir, group, "torch")
    return trainer, training_data(settings, corpus)


class Killed(Exception):
    """What a process that dies raises here."""


def killed_after(data, num_batches):
    """The same data, but the process dies after `num_batches` training batches."""
    left = [num_batches]

    def train_batches(epoch, start):
        for batch in data.train_batches(epoch, start):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            yield batch

    return dataclasses.replace(data, train_batches=train_batches)


def goes_on_exactly(folder, tmp_path, **changes):
    """Train for two epochs, and once more with a kill after three batches: figures and weights must be equal."""
    trainer, data = make_trainer(folder, tmp_path / "whole", **changes)
    whole = trainer.fit(data)
    for attempt in range(2):
        trainer, data = make_trainer(folder, tmp_path / "killed", train__save_every_n=2, **changes)
        if attempt == 0:
            with pytest.raises(Killed):
                trainer.fit(killed_after(data, 3))
    resumed = trainer.fit(data)
    assert [epoch["valid"] for epoch in resumed["epochs"]] == [epoch["valid"] for epoch in whole["epochs"]]
    one, other = (load_checkpoint(epoch_path(tmp_path / name, 2))["model"] for name in ("whole", "killed"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
