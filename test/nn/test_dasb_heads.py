"""Encoders and heads of DASB against SpeechBrain's on random weights, and a padded batch against each utterance."""

import functools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from icefall_discrete.losses.class_loss import ClassLossConfig, with_margin
from icefall_discrete.nn.encoders.bilstm.config import BilstmConfig
from icefall_discrete.nn.encoders.contextnet.config import ContextNetConfig
from icefall_discrete.nn.encoders.contract import build_encoder, streaming_encoder
from icefall_discrete.nn.encoders.mlp.config import MlpConfig
from icefall_discrete.nn.frame_layers import FrameBatchNorm
from icefall_discrete.nn.heads.classifier import ClassifierHead
from icefall_discrete.nn.heads.classifiers.ecapa import EcapaConfig
from icefall_discrete.nn.heads.classifiers.statistics import StatisticsConfig
from icefall_discrete.nn.heads.classifiers.xvector import XvectorConfig
from icefall_discrete.nn.stream_state import split_state, stack_states
from icefall_discrete.nn.utterance_frames import UtteranceFrames

GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "speechbrain_heads.safetensors"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
CONTEXTNET = ContextNetConfig(
    in_dim=6, block_channels=(4, 4, 8), strides=(1, 2, 1), num_convolutions=2, squeezed_dim=3, out_dim=5
)
BILSTM = BilstmConfig(in_dim=4, hidden_dim=3)
XVECTOR = XvectorConfig(tdnn_channels=(6, 6, 8), tdnn_kernels=(5, 3, 1), tdnn_dilations=(1, 2, 1), xvector_dim=7)
ECAPA = EcapaConfig(
    ecapa_channels=(6, 8, 8, 9),
    ecapa_kernels=(5, 3, 3, 1),
    ecapa_dilations=(1, 2, 3, 1),
    res2net_scale=2,
    se_channels=3,
    attention_channels=4,
    ecapa_dim=6,
)


@functools.lru_cache(maxsize=1)
def golden():
    return load_file(GOLDEN)


def with_golden_weights(module, name):
    start = f"{name}.state."
    state = {key[len(start) :]: value for key, value in golden().items() if key.startswith(start)}
    module.load_state_dict(state)
    return module.eval()


def num_parameters(module):
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize("name, config", [("contextnet", CONTEXTNET), ("lstm", BILSTM)])
def test_an_encoder_gives_what_speechbrains_gives(name, config):
    encoder, x = with_golden_weights(build_encoder(config), name), golden()[f"{name}.x"]
    out = encoder(x, torch.full((2,), x.shape[1]))
    torch.testing.assert_close(out.encoder_out, golden()[f"{name}.y"], **CLOSE)
    assert out.lens.tolist() == [out.encoder_out.shape[1]] * 2


@pytest.mark.parametrize("name, config", [("xvector", XVECTOR), ("ecapa", ECAPA)])
def test_a_head_gives_what_speechbrains_gives(name, config):
    head = ClassifierHead(config.build(5), 4, cosine_scale=30.0 * (name == "ecapa"))
    with_golden_weights(head, name)
    x = golden()[f"{name}.x"]
    lens = torch.full((2,), x.shape[1])
    torch.testing.assert_close(head.embedder(x, lens), golden()[f"{name}.y"], **CLOSE)
    if name == "ecapa":
        torch.testing.assert_close(head(x, lens) / 30.0, golden()["ecapa.cosines"], **CLOSE)
    else:
        torch.testing.assert_close(head(x, lens).log_softmax(dim=1), golden()["xvector.log_probs"], **CLOSE)


def test_the_margin_is_speechbrains():
    config = ClassLossConfig(class_loss="angular_margin")
    cosines = with_margin(golden()["margin.cosines"], golden()["margin.classes"], config.margin)
    torch.testing.assert_close(cosines * config.cosine_scale, golden()["margin.outputs"], rtol=1e-5, atol=1e-4)


def test_sizes_are_those_of_dasb(monkeypatch):
    for init in ("orthogonal_", "kaiming_normal_"):
        monkeypatch.setattr(torch.nn.init, init, lambda weight: weight)  # seconds, for numbers that nobody reads
    bilstm, contextnet = BilstmConfig(), ContextNetConfig()
    assert (num_parameters(build_encoder(bilstm)), (bilstm.out_dim + 1) * 30) == (41975808, 61470)
    assert (num_parameters(build_encoder(contextnet)), (contextnet.out_dim + 1) * 30) == (32481148, 19230)
    assert num_parameters(build_encoder(MlpConfig())) == 1025 * 2048
    paper = ContextNetConfig(strides=tuple(2 if block in (3, 7, 14) else 1 for block in range(1, 22)))
    assert (contextnet.stride, paper.stride, paper.frames_out(17)) == (1, 8, 3)


LENS = torch.tensor([9, 5, 2, 1])


def padded_batch(dim):
    x = torch.randn(4, 9, dim, generator=torch.Generator().manual_seed(3))
    for row, num in enumerate(LENS):
        x[row, num:] = 1e9
    return x


@pytest.mark.parametrize("name, config", [("contextnet", CONTEXTNET), ("lstm", BILSTM)])
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(name, config):
    encoder = with_golden_weights(build_encoder(config), name)
    x, places = padded_batch(config.in_dim), list(range(len(config.inner_dims)))
    out, lens, inner = encoder(x, LENS, places)
    for row, num in enumerate(LENS):
        alone = encoder(x[row : row + 1, :num], LENS[row : row + 1], places)
        torch.testing.assert_close(out[row, : lens[row]], alone.encoder_out[0], **CLOSE)
        for (one, one_lens), (other, other_lens), dim in zip(inner, alone.inner, config.inner_dims):
            assert one_lens[row] == other_lens[0] and one.shape[2] == dim
            torch.testing.assert_close(one[row, : one_lens[row]], other[0], **CLOSE)


def test_the_mlp_sees_single_frames():
    config = MlpConfig(in_dim=3, hidden_dim=4, num_layers=2)
    encoder, x = build_encoder(config), padded_batch(3)
    out, lens, inner = encoder(x, LENS, (1, 0))
    assert (config.inner_dims, config.frames_out(17)) == ((4, 4), 17) and torch.equal(lens, LENS)
    first, second = encoder.layers
    expected = torch.sigmoid(first(x[1, 2]))
    torch.testing.assert_close(inner[1][0][1, 2], expected)
    torch.testing.assert_close(out[1, 2], torch.sigmoid(second(expected)))
    assert torch.equal(inner[0][0], out)


@pytest.mark.parametrize("name, config", [("xvector", XVECTOR), ("ecapa", ECAPA), ("", StatisticsConfig())])
def test_an_embedding_in_a_batch_is_what_it_is_alone(name, config):
    head = ClassifierHead(config.build(5), 4, cosine_scale=30.0 * (name == "ecapa"))
    head = with_golden_weights(head, name) if name else head.eval()
    x = padded_batch(5)
    whole = head.embedder(x, LENS)
    for row, num in enumerate(LENS):
        torch.testing.assert_close(whole[row], head.embedder(x[row : row + 1, :num], num[None])[0], **CLOSE)
    mean = StatisticsConfig(with_deviation=False).build(5)
    assert mean.out_dim == 5
    torch.testing.assert_close(mean(x, LENS)[1], x[1, :5].mean(dim=0))


def trained_once(module, state, padding):
    """Output of a step of training, gradient of the input, and statistics after it, with more frames of padding."""
    module.load_state_dict(state)
    x = torch.nn.functional.pad(padded_batch(6), (0, 0, 0, padding), value=-7.0).requires_grad_()
    out = module.train()(x, LENS)
    if not isinstance(out, torch.Tensor):
        out = torch.cat([one[:num] for one, num in zip(out.encoder_out, out.lens)])
    out.square().sum().backward()
    for row, num in enumerate(LENS):
        assert not x.grad[row, num:].any()
    statistics = {name: value.clone() for name, value in module.named_buffers() if "running" in name}
    return out.detach(), x.grad[:, :9], statistics


@pytest.mark.parametrize("make", [lambda: build_encoder(CONTEXTNET), lambda: XVECTOR.build(6), lambda: ECAPA.build(6)])
def test_in_training_padding_is_in_no_statistic_and_has_no_gradient(make):
    torch.manual_seed(0)
    module = make()
    for part in module.modules():
        if hasattr(part, "dropout"):
            part.dropout = 0.0
    state = {name: value.clone() for name, value in module.state_dict().items()}
    narrow, wide = trained_once(module, state, 0), trained_once(module, state, 6)
    torch.testing.assert_close(narrow, wide, rtol=1e-4, atol=1e-4)
    assert any(not torch.equal(value, state[name]) for name, value in narrow[2].items())


def test_batch_statistics_are_those_of_torch_and_survive_what_is_not_finite():
    torch.manual_seed(0)
    own, torchs = FrameBatchNorm(3), torch.nn.BatchNorm1d(3)
    x = padded_batch(3)
    frames = UtteranceFrames(LENS, 9)
    valid = torch.cat([one[:num] for one, num in zip(x, LENS)])
    out = own(x, frames)
    torch.testing.assert_close(frames.valid(out), torchs(valid))
    torch.testing.assert_close(own.running_var, torchs.running_var)
    own(torch.full((2, 3), float("nan")))
    torch.testing.assert_close(own.running_mean, torchs.running_mean)
    own(x[:1, :1], UtteranceFrames(LENS[3:], 1))  # one frame has no variance
    torch.testing.assert_close(own.running_mean, torchs.running_mean)
    torch.testing.assert_close(own.eval()(valid), torchs.eval()(valid))
    assert torch.equal(own(x, None), own(x, frames)), "in evaluation each frame is normalised by itself"


def test_weights_of_torchs_normalisation_load_strictly_and_its_count_leaves_out_what_is_not_finite():
    torchs, own = torch.nn.BatchNorm1d(3), FrameBatchNorm(3, counts_batches=True)
    torchs(torch.randn(4, 3))
    own.load_state_dict(torchs.state_dict())
    own(torch.randn(4, 3))
    own(torch.full((4, 3), float("nan")))
    torch.testing.assert_close(own.state_dict()["num_batches_tracked"], torch.tensor(2))
    assert "num_batches_tracked" not in FrameBatchNorm(3).state_dict()


def test_a_stream_gives_what_the_whole_utterance_gives():
    config = BilstmConfig(in_dim=4, hidden_dim=3, bidirectional=False)
    encoder = build_encoder(config).eval()
    x = torch.randn(2, 10, 4)
    whole = encoder(x, torch.tensor([10, 8])).encoder_out
    stream = streaming_encoder(encoder, 4, 0)
    state, pieces = stream.initial_state(2), []
    for start in (0, 4, 8):
        chunk = torch.nn.functional.pad(x[:, start : start + 4], (0, 0, 0, max(0, start + 4 - 10)))
        out, _, state = stream(chunk, torch.tensor([min(4, 10 - start)] * 2), state)
        state = stack_states(split_state(state, 2))
        pieces.append(out)
    found = torch.cat(pieces, dim=1)
    torch.testing.assert_close(found[0, :10], whole[0])
    torch.testing.assert_close(found[1, :8], whole[1, :8])
    with pytest.raises(ValueError, match="reads from both ends, so that it cannot stream; train it with bidirectional"):
        streaming_encoder(build_encoder(BILSTM), 4, 0)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="strides has 2 values"):
        ContextNetConfig(strides=(1, 2))
    with pytest.raises(ValueError, match="kernel_size is 4, expected odd numbers"):
        ContextNetConfig(kernel_size=4)
    with pytest.raises(ValueError, match="different numbers of layers"):
        XvectorConfig(tdnn_kernels=(5, 3))
    with pytest.raises(ValueError, match="ecapa_channels has 10, expected multiples of res2net_scale 8"):
        EcapaConfig(ecapa_channels=(16, 10, 16), ecapa_kernels=(5, 3, 1), ecapa_dilations=(1, 2, 1))
