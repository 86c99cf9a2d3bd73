"""Texts that can be learnt in seconds: each letter is a code, of either speaker another one, and has its duration."""

import json
from pathlib import Path

import numpy as np
import soundfile
from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, write_cuts
from icefall_discrete.text.alignments import Segment, write_ctm

LETTERS, RATE_HZ = "abcde", 50.0
SPEAKERS, LANGUAGES = ("anna", "otto"), ("en", "fr")
SPEC = FeatureSpec("letters", "codes", 8000, RATE_HZ, 2, (12, 8), 0)
PAUSE = 3
RECIPE = {
    "system": "tts",
    "model_size": "tiny",
    "model": {
        "text_encoder": {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 32},
        "unit_encoder": {
            "kind": "conformer",
            "dim": 16,
            "num_layers": 1,
            "num_heads": 2,
            "feedforward_dim": 32,
            "cnn_module_kernel": 3,
        },
        "duration_dim": 16,
        "duration_dropout": 0.0,
    },
    "target": {"voice_dropout": 0.0},
    "loader": {"max_duration": 4.0, "num_buckets": 2},
    "loss": {"label_smoothing": 0.0},
    "train": {
        "num_epochs": 2,
        "optimizer": {"kind": "adam", "peak_lr": 0.01, "schedule": "constant"},
        "average_period": 1,
        "tensorboard": False,
        "device": "cpu",
    },
    "average": {"avg": 1},
}


def frames_of(symbol):
    """Frames that a letter, or what lies between words, lasts."""
    return PAUSE if symbol == " " else 2 + LETTERS.index(symbol)


def codes_of(text, speaker, language):
    """Codes (T, 2) of a text between two pauses."""
    rows = []
    for symbol in f" {text} ":
        number = 0 if symbol == " " else 1 + LETTERS.index(symbol)
        rows += [(2 * number + speaker, (number + language) % 8)] * frames_of(symbol)
    return np.array(rows, dtype=np.int16)


def letter_times(text):
    """The segment of each letter."""
    segments, at = [], PAUSE
    for symbol in text:
        if symbol != " ":
            segments.append(Segment(at / RATE_HZ, (at + frames_of(symbol)) / RATE_HZ, symbol))
        at += frames_of(symbol)
    return segments


def write_split(folder: Path, split: str, num_cuts: int, seed: int):
    """Cuts of either speaker and language by turns, their codes and their alignments."""
    generator, cuts, times = np.random.default_rng(seed), [], {}
    features, lang, audio = folder / "features", folder / "lang", folder / "audio"
    for one in (features, lang, audio):
        one.mkdir(parents=True, exist_ok=True)
    with FlatArchiveWriter(features / f"{split}.codes") as writer:
        for index in range(num_cuts):
            words = ["".join(generator.choice(list(LETTERS), 3)) for _ in range(2)]
            name, text, (speaker, language) = f"{split}-{index}", " ".join(words), (index % 2, index // 2 % 2)
            codes = codes_of(text, speaker, language)
            duration = len(codes) / RATE_HZ
            said = SupervisionSegment(
                name, name, 0.0, duration, text=text, speaker=SPEAKERS[speaker], language=LANGUAGES[language]
            )
            noise = 0.1 * generator.standard_normal(round(duration * SPEC.sample_rate_hz))
            soundfile.write(audio / f"{name}.wav", noise, SPEC.sample_rate_hz, subtype="PCM_16")
            recording = Recording.from_file(audio / f"{name}.wav", recording_id=name)
            cut = MonoCut(name, 0.0, duration, 0, supervisions=[said], recording=recording)
            cuts.append(attach_stored(cut, [writer.store_array(name, codes).storage_key], SPEC, f"{split}.codes"))
            times[name] = letter_times(text)
    write_cuts(features / f"{split}.jsonl.gz", cuts)
    write_ctm(lang / f"{split}.ctm", times)


def write_texts(folder: Path, num_train: int = 12):
    """Make folder/features, folder/lang and folder/recipe.json."""
    for seed, (split, number) in enumerate({"train": num_train, "dev": 4, "test": 2}.items()):
        write_split(folder, split, number, seed)
    SPEC.write(folder / "features" / "spec.json")
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    (folder / "models").mkdir()
    (folder / "models" / "tiny.json").write_text("{}")
    return folder
