"""The tiny experiment of toy_export, whole, of codes, and exported."""

import json
from pathlib import Path

import pytest
import soundfile
import torch
from toy_export import ATTENTION, RECIPE, SEARCH, STREAMING, exported, write_experiment

from icefall_discrete.experiment.checkpoint_choice import resolve_choice
from icefall_discrete.experiment.transcription_files import kept_settings, save_tokenizer
from icefall_discrete.export.command import load_recogniser
from icefall_discrete.tokenizers import load_tokenizer


@pytest.fixture(scope="session")
def voice():
    """Two seconds of a real voice at 16 kHz: (S,) float32."""
    return soundfile.read(Path(__file__).resolve().parents[1] / "assets" / "speech.flac", dtype="float32")[0]


@pytest.fixture(scope="session")
def exp_dir(tmp_path_factory, voice):
    """An experiment folder whose only epoch has random weights; nothing in it is changed by a test."""
    return write_experiment(tmp_path_factory.mktemp("export"), RECIPE, load_tokenizer("fbank"), voice)


@pytest.fixture(scope="session")
def codes_dir(tmp_path_factory, voice):
    """The same on MFCC and k-means, with its tokenizer and an attention decoder."""
    work = tmp_path_factory.mktemp("codes")
    (work / "toy_km.json").write_text(json.dumps({"tokenizer": "mfcc_kmeans", "num_clusters": 12}))
    tokenizer = load_tokenizer(work / "toy_km.json", (), work / "tokenizer")
    tokenizer.fit([(torch.from_numpy(voice), "voice")], work / "tokenizer", 0)
    save_tokenizer(tokenizer, work / "exp")
    front = {"input": {"embedding_dim": 16}, "front_end": "conv1d"}
    heads = {**RECIPE["model"]["heads"], "attention_decoder": ATTENTION}
    recipe = {**RECIPE, "model": {**RECIPE["model"], **front, "heads": heads}, **SEARCH}
    return write_experiment(work, recipe, tokenizer, voice)


@pytest.fixture(scope="session")
def model(exp_dir):
    """The network of the experiment."""
    return load_recogniser(exp_dir, resolve_choice(kept_settings(exp_dir)[0], exp_dir))


@pytest.fixture(scope="session")
def whole(exp_dir, tmp_path_factory):
    """The experiment exported for sherpa-onnx, for whole utterances."""
    return exported(exp_dir, tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture(scope="session")
def streaming(exp_dir, tmp_path_factory):
    """The experiment exported for sherpa-onnx, for streams."""
    return exported(exp_dir, tmp_path_factory.mktemp("streaming") / "model", *STREAMING)
