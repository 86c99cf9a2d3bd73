"""A causal experiment with random weights on tokens that are made while audio comes, large enough to say something."""

import json

import numpy as np
import synthetic_codes
import torch
import toy_corpus

from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.base.random_state import seed_everything
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import keep_for_transcription, save_tokenizer
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.transcriber import StreamingTranscriber
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.pieces import UNK_ID, TextEncoder, train_bpe
from icefall_discrete.tokenizers import load_tokenizer

CAUSAL = {"causal": True, "chunk_size": [8], "left_context_frames": [16]}
RECIPE = {
    **synthetic_codes.TINY_RECIPE,
    "model": {**synthetic_codes.TINY_RECIPE["model"], **CAUSAL, "embedding_init": "learned"},
    "average": {"avg": 1, "use_averaged_model": False},
    "decode": {"decoding_method": "greedy_search", "blank_penalty": 0.5},
}
CPU, CHUNKS = RunConfig(device="cpu"), StreamingConfig(chunk_size=8, left_context_frames=16)
NO_ENDPOINTS = EndpointConfig(enable_endpoint=False)


@torch.no_grad()
def make_talkative(model, spec):
    """Let the random model's output follow its input: what frames have in common is taken off, the rest enlarged."""
    codes = torch.randint(0, spec.codebook_sizes[0], (4, 100, 1))
    mean = model.encode(codes, torch.full((4,), 100)).encoder_out.mean(dim=(0, 1))
    model.joiner.encoder_proj.weight *= 20
    model.joiner.encoder_proj.bias.copy_(-model.joiner.encoder_proj.weight @ mean)
    model.joiner.output_linear.weight *= 2
    model.joiner.output_linear.bias[UNK_ID] = -1000.0


def write_causal_experiment(folder, voice):
    """An experiment folder `exp` below `folder`, on clusters of filter banks of `voice` (S,); returns its path."""
    conf, features, exp_dir = toy_corpus.write_conf(folder / "conf"), folder / "features", folder / "exp"
    tokenizer = load_tokenizer("small_km", [conf], features)
    tokenizer.fit([(torch.from_numpy(np.asarray(voice)), "voice")], features, seed=1)
    save_tokenizer(tokenizer, features)
    train_bpe([" ".join(toy_corpus.WORDS)], 24, folder / "bpe.model")
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    experiment = Experiment(exp_dir)
    settings = TrainSettings.from_dict(RECIPE, "the test's recipe")
    experiment.start(settings, tokenizer.spec, PieceTargets(TextEncoder(folder / "bpe.model")), tokenizer.codebooks())
    keep_for_transcription(exp_dir, features, folder / "recipe.json")
    seed_everything(3)
    model = experiment.build_model().eval()
    make_talkative(model, tokenizer.spec)
    state = model.state_dict()
    save_checkpoint(exp_dir / "epoch-1.pt", {"model": state, "model_avg": state, "step": 1})
    return exp_dir


def transcriber_of(exp_dir, endpoints=NO_ENDPOINTS):
    """A transcriber of streams on the CPU, in small chunks."""
    return StreamingTranscriber(exp_dir, streaming=CHUNKS, endpoints=endpoints, run=CPU)


def said_in(transcriber, samples, piece=640, rate_hz=None):
    """The updates of a stream of samples (S,) that come in pieces."""
    stream, updates = transcriber.open("toy", rate_hz), []
    for part in torch.split(samples, piece):
        stream.accept(part)
        while stream.is_ready:
            updates += [update for _, update in transcriber.advance([stream])]
    stream.finish()
    while stream.is_ready:
        updates += [update for _, update in transcriber.advance([stream])]
    return updates
