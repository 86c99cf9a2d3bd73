"""Front ends: shapes, lengths, and independence of padding."""

import pytest
import torch
from toy_settings import model_config

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.depthwise import DepthwiseConv1d
from icefall_discrete.nn.front_ends.conv1d import Conv1dConfig, Conv1dSubsampling
from icefall_discrete.nn.front_ends.conv2d import Conv2dConfig, Conv2dSubsampling
from icefall_discrete.nn.front_ends.espnet_conv1d import EspnetConv1dConfig


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_conv1d_of_a_padded_batch_equals_each_utterance_alone(stride):
    torch.manual_seed(0)
    front_end = Conv1dSubsampling(12, 16, stride).eval()
    lens = torch.tensor([29, 1, 14, 27])
    x = torch.randn(4, 29, 12)
    together, out_lens = front_end(x, lens)
    for index, length in enumerate(lens.tolist()):
        alone, alone_lens = front_end(x[index : index + 1, :length], lens[index : index + 1])
        assert alone_lens.tolist() == [out_lens[index]] == [alone.shape[1]]
        torch.testing.assert_close(together[index : index + 1, : alone.shape[1]], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_espnet_conv1d_sees_no_padding_and_streams(stride):
    torch.manual_seed(0)
    config = EspnetConv1dConfig(stride)
    front_end = config.build(12, 16, 0.1).eval()
    lens = torch.tensor([29, 3, 14, 27])
    x = torch.randn(4, 29, 12)
    together, out_lens = front_end(x, lens)
    formulas = {1: [n - 4 for n in (29, 14, 27)], 2: [(n - 3) // 2 for n in (29, 14, 27)], 3: [8, 3, 7]}
    assert out_lens.tolist() == [formulas[stride][0], 0, *formulas[stride][1:]]
    for index, num_outputs in enumerate(out_lens.tolist()):
        if num_outputs:
            alone, _ = front_end(x[index : index + 1, : lens[index]], lens[index : index + 1])
            torch.testing.assert_close(together[index : index + 1, :num_outputs], alone, rtol=1e-5, atol=1e-6)
    window = front_end.window
    chunk = front_end.stream(x[:, 2 * stride :][:, : window.num_frames(2)], out_lens, front_end.initial_past(4))
    torch.testing.assert_close(chunk, together[:, 2:4], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=f"4 frames, but front end espnet_conv1d with stride {stride} needs"):
        front_end(x[:, :4], lens.clamp(max=4))


EVERY_KIND = [Conv1dConfig(1), Conv1dConfig(4), Conv2dConfig(), EspnetConv1dConfig(2), EspnetConv1dConfig(3)]


@pytest.mark.parametrize("config", EVERY_KIND)
def test_lengths_are_those_of_the_output(config):
    front_end = config.build(12, 8, 0.1)
    for num_frames in range(9, 24):
        out, lens = front_end(torch.randn(1, num_frames, 12), torch.tensor([num_frames]))
        assert out.shape == (1, config.frames_out(num_frames), 8)
        assert lens.tolist() == [out.shape[1]]


def test_front_ends_train_every_parameter_and_their_input():
    torch.manual_seed(0)
    for front_end in (Conv1dSubsampling(12, 8, 2), Conv2dSubsampling(12, 8)):
        x = torch.randn(3, 20, 12, requires_grad=True)
        out, _ = front_end.train()(x, torch.tensor([20, 20, 15]))
        (out * torch.randn_like(out)).sum().backward()
        assert bool((x.grad != 0).any())
        assert all(bool((p.grad != 0).any()) for p in front_end.parameters())


def test_depthwise_convolution_equals_the_librarys():
    torch.manual_seed(0)
    for kernel, padding in ((7, 3), (4, 0), (15, 7)):
        module = DepthwiseConv1d(6, kernel, padding)
        x = torch.randn(3, 20, 6, requires_grad=True)
        expected = torch.nn.functional.conv1d(
            x.transpose(1, 2), module.weight, module.bias, padding=padding, groups=6
        ).transpose(1, 2)
        out = module(x)
        torch.testing.assert_close(out, expected)
        cotangent = torch.randn_like(out)
        inputs = (x, module.weight, module.bias)
        mine, theirs = (torch.autograd.grad(y, inputs, cotangent) for y in (out, expected))
        for one, other in zip(mine, theirs):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_encoder_frames_equal_the_models_own():
    for front_end, stride, factor in (("conv2d", 2, 2), ("conv1d", 2, 1), ("conv1d", 4, 2), ("conv1d", 1, 2)):
        config = model_config(
            front_end=front_end, front_end_stride=stride, output_downsampling_factor=factor, input_frame_rate_hz=0.0
        )
        module = config.front_end.build(12, 8, 0.1).eval()
        for count in range(9, 40):
            _, lens = module(torch.randn(1, count, 12), torch.tensor([count]))
            assert config.num_encoder_frames(count) == -(-int(lens) // factor)
        counts = torch.arange(9, 40)
        assert config.num_encoder_frames(counts).tolist() == [config.num_encoder_frames(c) for c in counts.tolist()]


def test_encoder_frames_with_rate_matching_need_the_spec():
    config = model_config(front_end="conv2d", output_downsampling_factor=2, input_frame_rate_hz=100.0)
    spec = FeatureSpec("codes_at_50", "codes", 16000, 50.0, 1, (500,), 0)
    assert config.num_encoder_frames(521, spec) == 259
    assert config.num_encoder_frames(3, spec) == 0
    with pytest.raises(ValueError, match="needs the features' spec"):
        config.num_encoder_frames(521)


def test_unusable_settings_and_inputs_are_refused():
    with pytest.raises(ValueError, match="front_end_stride is 3"):
        Conv1dSubsampling(12, 8, 3)
    with pytest.raises(ValueError, match="8 frames, but front end conv2d needs 9"):
        Conv2dSubsampling(12, 8)(torch.randn(1, 8, 12), torch.tensor([8]))
