"""The encoder against numbers that icefall's own code computed, and against itself."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from icefall_discrete.nn.encoders.zipformer import Zipformer, ZipformerConfig, resample
from icefall_discrete.nn.encoders.zipformer.masks import chunk_mask, draw_chunk
from icefall_discrete.nn.front_ends.conv2d import Conv2dSubsampling
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor
from icefall_discrete.nn.loading import load_strictly
from icefall_discrete.nn.scaling import Balancer, Whiten, set_batch_count
from icefall_discrete.systems.asr.icefall_names import (
    from_icefall,
    inferred_settings,
    our_name,
    to_icefall,
)

# Random weights and inputs; outputs, gradients of sum(encoder_out * cotangent), by icefall's zipformer recipe in eval
# mode with exact activations and without Balancer and Whiten, whose draws cannot be repeated.
REFERENCE = Path(__file__).parents[1] / "assets" / "zipformer_reference.npz"
UNMASKED = (12, 16, 20, 16)
CHUNKS = {"offline": {}, "causal": {"chunk_size": (8,), "left_context_frames": (16,)}}


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as data:
        return {name: data[name] if data[name].dtype.kind == "U" else torch.from_numpy(data[name]) for name in data}


def icefall_state(reference, kind):
    shapes = [tuple(int(n) for n in text.split(",") if n) for text in reference[f"{kind}/shapes"]]
    pieces = reference[f"{kind}/params"].split([int(np.prod(shape)) for shape in shapes])
    return {name: piece.view(shape) for name, piece, shape in zip(reference[f"{kind}/names"], pieces, shapes)}


def encoder_config(state, kind):
    known = {field.name for field in dataclasses.fields(ZipformerConfig)}
    settings = {name: value for name, value in inferred_settings(state).items() if name in known}
    return ZipformerConfig(**settings, encoder_unmasked_dim=UNMASKED, dropout=(0.0,), **CHUNKS[kind])


def build(reference, kind):
    state = from_icefall(icefall_state(reference, kind))
    model = nn.Module()
    model.encoder = Zipformer(encoder_config(state, kind))
    if kind == "offline":
        model.front_end = Conv2dSubsampling(24, 16, dropout=0.0)
        model.predictor = StatelessPredictor(11, 8, 0, 2)
        model.joiner = Joiner(32, 8, 12, 11)
    load_strictly(model, state, str(REFERENCE))
    return model.eval()


def relative_error(mine, reference):
    return ((mine - reference).abs().max() / reference.abs().max()).item()


def test_conv2d_front_end_predictor_and_joiner_match_icefall(reference):
    model = build(reference, "offline")
    out, lens = model.front_end(reference["x"], reference["x_lens"])
    assert relative_error(out, reference["embed_out"]) < 1e-5
    assert lens.tolist() == reference["embed_lens"].tolist()
    predicted = model.predictor(reference["labels"])
    assert relative_error(predicted, reference["predictor_out"]) < 1e-5
    assert relative_error(model.joiner(reference["joiner_am"], predicted), reference["joiner_out"]) < 1e-5


@pytest.fixture
def as_in_icefall(monkeypatch):
    """The last group of frames of an utterance that is not full takes padding into its mean, as there."""
    monkeypatch.setattr(resample, "with_last_group_filled", lambda x, lens, factor: x)


@pytest.mark.parametrize("kind", ["offline", "causal"])
def test_encoder_output_and_gradients_match_icefall(reference, kind, as_in_icefall):
    model = build(reference, kind)
    if kind == "offline":
        x, lens = model.front_end(reference["x"], reference["x_lens"])
    else:
        x, lens = reference["embed_out"], reference["embed_lens"]
    out, out_lens, _ = model.encoder(x, lens)
    assert out_lens.tolist() == reference[f"{kind}/encoder_lens"].tolist()
    assert relative_error(out, reference[f"{kind}/encoder_out"]) < 1e-5

    (out * reference[f"{kind}/cotangent"]).sum().backward()
    named = dict(model.named_parameters())
    mine = to_icefall({name: p.grad for name, p in named.items() if p.grad is not None})
    norms, sums = reference[f"{kind}/grad_norms"], reference[f"{kind}/grad_sums"]
    for name, norm, total in zip(reference[f"{kind}/grad_names"], norms, sums):
        grad = mine[name]
        # Two weights of a softmax, what is left of sums that cancel: float32 lies up to 1e-5 beside float64.
        tiny = 3e-5 if "downsample_output" in name else 1e-5
        assert abs(float(grad.norm()) - norm) <= 1e-3 * norm + tiny, name
        assert abs(float(grad.sum()) - total) <= 1e-3 * norm * grad.numel() ** 0.5 + tiny, name


@pytest.mark.parametrize("kind", ["offline", "causal"])
def test_names_go_to_icefall_and_back(reference, kind):
    theirs = icefall_state(reference, kind)
    again = to_icefall(from_icefall(theirs))
    assert set(again) == set(theirs)
    for name, value in theirs.items():
        if our_name(name) is not None:
            assert torch.equal(again[name], value), name


def test_layout_is_read_from_the_weights(reference):
    settings = inferred_settings(from_icefall(icefall_state(reference, "causal")))
    assert settings["downsampling_factor"] == (1, 2, 4, 2)
    assert settings["num_heads"] == (4, 4, 8, 4)
    assert settings["query_head_dim"] == (6, 6, 6, 6)
    assert settings["value_head_dim"] == (5, 5, 5, 5)
    assert settings["cnn_module_kernel"] == (15, 15, 7, 15)
    assert settings["output_downsampling_factor"] == 2
    assert settings["causal"] is True


def test_a_misfit_names_parameter_and_shapes(reference):
    state = from_icefall(icefall_state(reference, "causal"))
    config = dataclasses.replace(encoder_config(state, "causal"), feedforward_dim=(24, 32, 64, 32))
    model = nn.Module()
    model.encoder = Zipformer(config)
    with pytest.raises(ValueError, match=r"checkpoint X.*'encoder\.stacks\.2.*\(36, 32\), expected \(48, 32\)"):
        load_strictly(model, state, "checkpoint X")
    del state["encoder.stacks.0.layers.0.norm.bias"]
    with pytest.raises(ValueError, match=r"norm\.bias' \(16,\) is missing"):
        load_strictly(build(reference, "causal"), state, "checkpoint X")


def small_config(**changes):
    settings = {
        "downsampling_factor": (1, 2),
        "encoder_dim": (16, 24),
        "num_encoder_layers": (1,),
        "encoder_unmasked_dim": (12, 16),
        "query_head_dim": (4,),
        "value_head_dim": (4,),
        "num_heads": (2,),
        "feedforward_dim": (32,),
        "cnn_module_kernel": (7,),
        "pos_dim": 8,
        "output_downsampling_factor": 1,
    }
    return ZipformerConfig(**{**settings, **changes})


def test_a_causal_encoder_draws_its_chunks_in_training_only():
    config = small_config(causal=True, chunk_size=(4, 8, -1), left_context_frames=(8, -1))
    assert {draw_chunk(config, training=False) for _ in range(9)} == {(-1, -1)}
    assert len({draw_chunk(config, training=True) for _ in range(60)}) == 5
    limited = small_config(causal=True, chunk_size=(4, 8), left_context_frames=(8, 16))
    assert {draw_chunk(limited, training=False) for _ in range(9)} == {(8, 2)}


def test_inner_stacks_and_no_output_downsampling():
    torch.manual_seed(0)
    model = Zipformer(small_config()).eval()
    lens = torch.tensor([21, 16])
    out, out_lens, inner = model(torch.randn(2, 21, 16), lens, inner=(0, 1))
    assert out.shape == (2, 21, 24)
    assert out_lens.tolist() == [21, 16]
    assert [tuple(one.shape) for one, _ in inner] == [(2, 21, 16), (2, 21, 24)]
    assert torch.equal(inner[1][0], out) and torch.equal(inner[1][1], lens)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_is_not_seen_whether_or_not_a_length_fills_whole_groups(causal):
    torch.manual_seed(0)
    chunks = {"causal": True, "chunk_size": (4,), "left_context_frames": (16,)} if causal else {}
    model = Zipformer(small_config(downsampling_factor=(1, 4), output_downsampling_factor=2, **chunks)).eval()
    x, lens = torch.randn(10, 30, 16), torch.tensor([30, *range(14, 23)])
    together, together_lens, _ = model(x, lens)
    for row, length in enumerate(lens.tolist()):
        alone, (frames,), _ = model(x[row : row + 1, :length], lens[row : row + 1])
        assert frames == together_lens[row] == alone.shape[1]
        torch.testing.assert_close(together[row, :frames], alone[0], rtol=1e-5, atol=1e-5)


def test_causal_model_does_not_see_beyond_its_chunk():
    torch.manual_seed(0)
    model = Zipformer(small_config(causal=True, chunk_size=(4,), left_context_frames=(8,))).eval()
    x = torch.randn(1, 24, 16)
    changed = x.clone()
    changed[:, 12:] += 1.0
    lens = torch.tensor([24])
    before, after = model(x, lens)[0], model(changed, lens)[0]
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:])


def test_chunk_mask_shows_own_chunk_and_left_context():
    hidden = chunk_mask(6, 2, 1, torch.device("cpu"))
    assert [(~row).nonzero().flatten().tolist() for row in hidden] == [
        [0, 1], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [2, 3, 4, 5], [2, 3, 4, 5],
    ]  # fmt: skip


@pytest.mark.parametrize("causal", [False, True])
def test_training_reaches_every_parameter_with_all_constraints_active(causal, monkeypatch):
    torch.manual_seed(0)
    chunks = {"causal": True, "chunk_size": (4,), "left_context_frames": (8,)} if causal else {}
    model = Zipformer(small_config(**chunks)).train()
    set_batch_count(model, 20000.0)
    for part in model.modules():
        if isinstance(part, Balancer):
            part.prob = 1.0
        if isinstance(part, Whiten):
            monkeypatch.setattr(part, "draw", lambda: True)
    out, _, _ = model(torch.randn(3, 25, 16), torch.tensor([25, 20, 9]))
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name


def test_half_precision_autocast_runs_and_stays_close():
    torch.manual_seed(0)
    model = Zipformer(small_config()).eval()
    x, lens = torch.randn(2, 20, 16), torch.tensor([20, 14])
    exact = model(x, lens)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(x, lens)[0]
    rough.float().square().sum().backward()
    assert relative_error(rough.float(), exact) < 0.05
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="num_heads has 3 values"):
        small_config(num_heads=(2, 2, 2))
    model = Zipformer(small_config(causal=True, chunk_size=(3,), left_context_frames=(9,)))
    with pytest.raises(ValueError, match="chunk_size 3 is not a multiple"):
        model(torch.randn(1, 12, 16), torch.tensor([12]))
    with pytest.raises(ValueError, match="17 dimensions, but the first stack has 16"):
        model(torch.randn(1, 12, 17), torch.tensor([12]))
