"""Encoder, losses, gradients and searches of the same weights on both devices."""

import copy

import pytest
import torch
from toy_models import CODES, CONFIG
from toy_settings import changed

from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.decoding.search import search
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.losses.pruned_rnnt import RNNT_TYPES
from icefall_discrete.losses.transducer_loss import LossConfig, transducer_losses
from icefall_discrete.nn.scaling import set_batch_count
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.streaming_recognizer import StreamingRecognizer
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.training.scaled_adam import ScaledAdam

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
SEARCHES = ("greedy_search", "modified_beam_search", "ctc_greedy_search", "ctc_prefix_beam_search")


@pytest.fixture(autouse=True)
def full_float32():
    """No TF32: differences are then rounding only."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=False, allow_tf32=False):
        yield


def model_of(**changes):
    torch.manual_seed(0)
    model = build_transducer(changed(CONFIG, **{"dropout": (0.0,), **changes}), CODES, 15, AugmentConfig()).eval()
    with torch.no_grad():
        for parameter in model.joiner.parameters():
            parameter.mul_(5.0)  # sure of what it says, so that rounding flips no label
    return model


def batch_of(device):
    generator = torch.Generator().manual_seed(1)
    frames = torch.stack([torch.randint(0, size, (4, 90), generator=generator) for size in CODES.codebook_sizes], dim=2)
    labels = torch.randint(1, 15, (4, 9), generator=generator)
    tensors = (frames, torch.tensor([90, 71, 64, 40]), labels, torch.tensor([9, 0, 5, 7]))
    return tuple(tensor.to(device) for tensor in tensors)


def loss_and_gradients(model, device, config):
    """Losses of each utterance, and each parameter's gradient, of the model without noise."""
    model = copy.deepcopy(model).to(device)
    frames, lens, labels, label_lens = batch_of(device)
    losses = transducer_losses(model, model.encode(frames, lens), labels, label_lens, config, "torch")
    losses.total(config.rnnt_warm_step).backward()
    gradients = {name: value.grad.cpu() for name, value in model.named_parameters() if value.grad is not None}
    return {name: value.detach().cpu() for name, value in losses.per_utterance.items()}, gradients


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
@pytest.mark.parametrize("front_end", ["conv1d", "conv2d"])
def test_losses_and_gradients_are_those_of_the_cpu(front_end, rnnt_type):
    model = model_of(front_end=front_end, input_frame_rate_hz=100.0 if front_end == "conv2d" else 0.0)
    config = LossConfig(ctc_loss_scale=0.3, inner_ctc_loss_scale=0.2, rnnt_type=rnnt_type, am_scale=0.1)
    expected, expected_gradients = loss_and_gradients(model, "cpu", config)
    found, gradients = loss_and_gradients(model, "cuda", config)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4, msg=name)
    assert gradients.keys() == expected_gradients.keys()
    for name, value in expected_gradients.items():
        assert (gradients[name] - value).norm() <= 1e-3 * value.norm() + 1e-5, name


@pytest.mark.parametrize("method", SEARCHES)
def test_searches_find_what_they_find_on_the_cpu(method):
    model = model_of(front_end="conv1d")
    there = copy.deepcopy(model).to("cuda")
    config = DecodeConfig(blank_penalty=0.5)
    found = []
    for one, device in ((model, "cpu"), (there, "cuda")):
        frames, lens, _, _ = batch_of(device)
        with torch.no_grad():
            encoded = one.encode(frames, lens)
            found.append(search(method, one, encoded.encoder_out, encoded.lens, config))
    assert sum(len(hypothesis.labels) for hypothesis in found[0]) > 5
    for here, other in zip(*found):
        assert (other.labels, other.timestamps) == (here.labels, here.timestamps)
        assert other.score == pytest.approx(here.score, abs=1e-3)


@torch.no_grad()
def test_streams_find_what_they_find_on_the_cpu():
    model = model_of(front_end="conv1d", causal=True, chunk_size=(8,), left_context_frames=(16,))
    found = []
    for one in (model, copy.deepcopy(model).to("cuda")):
        recogniser = StreamingRecognizer(one, CODES, StreamingConfig(8, 16), DecodeConfig(blank_penalty=0.5))
        frames, lens, _, _ = batch_of("cpu")
        streams = [recogniser.open() for _ in range(len(frames))]
        for stream, row, length in zip(streams, frames, lens):
            stream.push(row[:length])
            stream.finish()
        while recogniser.step([stream for stream in streams if stream.is_ready]):
            pass
        found.append([recogniser.hypothesis(stream).labels for stream in streams])
    assert found[0] == found[1] and any(found[0])


def test_the_optimiser_steps_as_on_the_cpu():
    models = [model_of(front_end="conv1d"), model_of(front_end="conv1d").to("cuda")]
    optimizers = [ScaledAdam(model.named_parameters(), lr=0.045, clipping_scale=1.5) for model in models]
    for step in range(45):
        generator = torch.Generator().manual_seed(step)
        gradients = [torch.randn(value.shape, generator=generator) for value in models[0].parameters()]
        for model, optimizer in zip(models, optimizers):
            for parameter, gradient in zip(model.parameters(), gradients):
                parameter.grad = (50.0 if step % 17 == 16 else 1.0) * gradient.to(parameter.device)
            optimizer.step()
    for (name, here), there in zip(models[0].named_parameters(), models[1].parameters()):
        torch.testing.assert_close(there.cpu(), here.detach(), rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_a_training_step_in_half_the_bits_is_near_float32(dtype, tolerance):
    model = model_of(front_end="conv2d", input_frame_rate_hz=100.0).to("cuda").train()
    set_batch_count(model, 1e6)
    frames, lens, labels, label_lens = batch_of("cuda")
    config = LossConfig(ctc_loss_scale=0.3)

    def total(autocast):
        torch.manual_seed(3)
        with torch.autocast("cuda", dtype, enabled=autocast):
            encoded = model.encode(frames, lens)
            loss = transducer_losses(model, encoded, labels, label_lens, config, "torch").total(config.rnnt_warm_step)
        model.zero_grad()
        loss.backward()
        assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)
        return float(loss.detach())

    assert total(autocast=True) == pytest.approx(total(autocast=False), rel=tolerance)
