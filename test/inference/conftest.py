"""A tiny experiment with random weights, made by the stages as far as they are fast, and its audio files."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import synthetic_codes
import torch
import toy_corpus
from lhotse import MonoCut, Recording, SupervisionSegment
from toy_streaming import transcriber_of, write_causal_experiment

from icefall_discrete import command
from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_feature_cuts, write_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.experiment.transcription_files import keep_for_transcription
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.pieces import UNK_ID, TextEncoder, train_bpe

RATE = 16000
RECIPE = {
    **synthetic_codes.TINY_RECIPE,
    "average": {"avg": 1, "use_averaged_model": False},
    "decode": {"decoding_method": "modified_beam_search", "beam_size": 2},
}


@pytest.fixture(scope="session")
def voice():
    """Two seconds of a real voice at 16 kHz: (S,) float32."""
    samples, rate = soundfile.read(Path(__file__).resolve().parents[1] / "assets" / "speech.flac", dtype="float32")
    assert rate == RATE
    return samples


def write_manifest(path, files):
    """A manifest of cuts of whole audio files, named after them."""
    cuts = []
    for file in files:
        recording = Recording.from_file(file)
        supervision = SupervisionSegment(file.stem, file.stem, 0.0, recording.duration, text="some words")
        cuts.append(MonoCut(file.stem, 0.0, recording.duration, 0, supervisions=[supervision], recording=recording))
    write_cuts(path, cuts)
    return path


def extract(work, split, files, *flags):
    """Encode audio files as stage 3 does."""
    kind = ("--feature-type", "small_km", "--conf-dir", work / "conf", "--out-dir", work / "features")
    manifest = write_manifest(work / "manifests" / f"toy_cuts_{split}.jsonl.gz", files)
    if split == "train":
        toy_corpus.run_stage_script("fit_tokenizer.py", *kind, "--cuts", manifest)
    toy_corpus.run_stage_script("extract_codes.py", *kind, "--cuts", manifest, "--split", split, *flags)


@torch.no_grad()
def make_talkative(model, spec):
    """Let the random model's output follow its input: what frames have in common is taken off, the rest enlarged."""
    codes = torch.randint(0, spec.codebook_sizes[0], (4, 100, 1))
    mean = model.encode(codes, torch.full((4,), 100)).encoder_out.mean(dim=(0, 1))
    for linear in (model.joiner.encoder_proj, model.ctc_output):
        linear.weight *= 20
        linear.bias.copy_(-linear.weight @ mean)
    model.joiner.output_linear.weight *= 2
    for linear in (model.joiner.output_linear, model.ctc_output):
        linear.bias[UNK_ID] = -1000.0


def write_experiment(work):
    """An experiment folder whose only epoch has random weights, large enough to say something."""
    settings = TrainSettings.from_dict(RECIPE, "the test's recipe")
    train_bpe([" ".join(toy_corpus.WORDS)], 24, work / "bpe.model")
    (work / "recipe.json").write_text(json.dumps(RECIPE))
    experiment = Experiment(work / "exp")
    spec = FeatureSpec.read(work / "features" / "spec.json")
    codebooks = read_codebooks(work / "features" / "codebooks.safetensors")
    experiment.start(settings, spec, PieceTargets(TextEncoder(work / "bpe.model")), codebooks)
    keep_for_transcription(work / "exp", work / "features", work / "recipe.json")
    torch.manual_seed(3)
    model = experiment.build_model().eval()
    make_talkative(model, spec)
    state = model.state_dict()
    save_checkpoint(work / "exp" / "epoch-1.pt", {"model": state, "model_avg": state, "step": 1})


@pytest.fixture(scope="session")
def make_experiment():
    """The function that makes an experiment in a folder of features."""
    return write_experiment


@pytest.fixture
def console(monkeypatch, capsys):
    """Run `icefall-discrete` in this process; returns status, standard output and standard error."""

    def run(*words, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["icefall-discrete", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = 0
        try:
            command.main()
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def work(tmp_path_factory, voice):
    """A folder with audio/, features/ and exp/; nothing in it is changed by a test."""
    work = tmp_path_factory.mktemp("transcribe")
    (work / "audio").mkdir()
    generator = np.random.default_rng(0)
    # Of whole groups of frames, where a model downsamples, and not.
    for number, frames in enumerate((100, 61, 96, 22, 80, 39)):
        start = int(generator.integers(0, len(voice) - 320 * frames + 1))
        noise = 0.02 * generator.standard_normal(320 * frames).astype(np.float32)
        soundfile.write(work / "audio" / f"utt{number}.wav", voice[start : start + 320 * frames] + noise, RATE)
    files = sorted((work / "audio").glob("*.wav"))
    toy_corpus.write_conf(work / "conf")
    extract(work, "train", files)
    extract(work, "test", files)
    write_experiment(work)
    return work


@pytest.fixture(scope="session")
def files(work):
    """The audio files of the experiment."""
    return sorted((work / "audio").glob("*.wav"))


@pytest.fixture(scope="session")
def features_of(work):
    """A function from the name of a split and audio files to their cuts with codes, made as stage 3 does."""

    def make(split, files, *flags):
        extract(work, split, files, *flags)
        return load_feature_cuts(work / "features" / f"{split}.jsonl.gz")

    return make


@pytest.fixture(scope="session")
def causal_exp(tmp_path_factory, voice):
    """A causal experiment; nothing in it is changed by a test."""
    return write_causal_experiment(tmp_path_factory.mktemp("causal"), voice)


@pytest.fixture(scope="module")
def samples(voice):
    """The voice as a tensor, which a client sends."""
    return torch.from_numpy(voice)


@pytest.fixture(scope="module")
def streaming(causal_exp):
    """What a server of streams transcribes with."""
    return transcriber_of(causal_exp)


@pytest.fixture(scope="module")
def transcriber(work):
    """What a server of whole utterances transcribes with."""
    return Transcriber(work / "exp", run=RunConfig(device="cpu"))
