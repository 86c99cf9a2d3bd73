"""A tiny experiment on filter banks whose random weights say something, and what the export command makes of it."""

import json

import pytest
import torch

from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.export.command import main
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.text.pieces import SOS_EOS_ID, UNK_ID, TextEncoder, train_bpe
from icefall_discrete.tokenizers import load_tokenizer

RECIPE = {
    "model": {
        "input": {"embedding_dim": 0},
        "front_end": "conv2d",
        "encoder": {
            "kind": "zipformer",
            "downsampling_factor": [2],
            "encoder_dim": [24],
            "num_encoder_layers": [1],
            "encoder_unmasked_dim": [16],
            "query_head_dim": [4],
            "value_head_dim": [4],
            "num_heads": [2],
            "feedforward_dim": [32],
            "cnn_module_kernel": [7],
            "causal": True,
        },
        "heads": {"transducer": {"decoder_dim": 16, "joiner_dim": 20}},
    },
    "average": {"avg": 1, "use_averaged_model": False},
}
ATTENTION = {
    "attention_decoder_dim": 16,
    "attention_decoder_num_layers": 2,
    "attention_decoder_num_heads": 2,
    "attention_decoder_feedforward_dim": 24,
}
SEARCH = {
    "loss": {"attention_decoder_loss_scale": 0.5},
    "decode": {"decoding_method": "attention-decoder-rescoring-no-ngram", "blank_penalty": 0.5, "beam_size": 5},
}
STREAMING = ("--streaming", "1", "--chunk-size", "16", "--left-context-frames", "32")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def filter_banks(voice):
    """Features (1, T, 80) of samples (S,)."""
    return load_tokenizer("fbank").encode(torch.from_numpy(voice)[None], torch.tensor([len(voice)]))[0]


@torch.no_grad()
def make_talkative(model, features):
    """Let the random model's output follow its input: what frames have in common is taken off, the rest enlarged."""
    if features.is_floating_point():
        model.input_embedding.set_statistics(features[0].mean(dim=0), features[0].std(dim=0))
    out = model.encode(features, torch.tensor([features.shape[1]])).encoder_out[0]
    for linear in (model.joiner.encoder_proj, model.ctc_output):
        linear.weight *= 3 / (out - out.mean(dim=0)).matmul(linear.weight.t()).std()
        linear.bias.copy_(-linear.weight @ out.mean(dim=0))
    model.joiner.output_linear.weight *= 4
    linears = [model.joiner.output_linear, model.ctc_output]
    if model.attention_decoder is not None:
        linears.append(model.attention_decoder.output)
        model.attention_decoder.output.weight *= 4
    for linear in linears:
        linear.bias[[SOS_EOS_ID, UNK_ID]] = -1000.0  # as of a model that was trained


def write_experiment(work, recipe, tokenizer, voice):
    """An experiment folder below `work` whose only epoch has random weights that talk about the voice."""
    train_bpe([" ".join(LETTERS), "one two three forty more words of it"], 36, work / "bpe.model")
    experiment = Experiment(work / "exp")
    settings = TrainSettings.from_dict(recipe, "the test's recipe")
    experiment.start(settings, tokenizer.spec, PieceTargets(TextEncoder(work / "bpe.model")), None)
    (work / "exp" / "recipe.json").write_text(json.dumps(recipe))
    torch.manual_seed(3)
    model = experiment.build_model().eval()
    make_talkative(model, tokenizer.encode(torch.from_numpy(voice)[None], torch.tensor([len(voice)]))[0])
    state = model.state_dict()
    save_checkpoint(work / "exp" / "epoch-1.pt", {"model": state, "model_avg": state, "step": 1})
    return work / "exp"


def exported(exp_dir, out_dir, *flags):
    """What the command writes."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    main("export", ["--exp-dir", str(exp_dir), "--out-dir", str(out_dir), "--to", "sherpa", "--int8", "0", *flags])
    return out_dir
