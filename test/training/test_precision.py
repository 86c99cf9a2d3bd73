import pytest
import torch

from icefall_discrete.training.precision import Precision

HAS_CPU_SCALER = hasattr(torch.amp, "GradScaler")
needs_cpu_scaler = pytest.mark.skipif(not HAS_CPU_SCALER, reason="this torch scales losses on CUDA only")


def test_the_forward_pass_runs_in_the_format_that_was_asked_for():
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        precision = Precision(name, "cpu")
        with precision.autocast():
            out = layer(x)
        assert out.dtype == dtype
        precision.backward(out.float().sum())
        assert layer.weight.grad.dtype == torch.float32
        assert precision.state_dict() == {} and not precision.overflows_are_expected


def test_formats_that_cannot_be_had_are_refused():
    with pytest.raises(ValueError, match="'fp8'; known: fp32, bf16, fp16"):
        Precision("fp8", "cpu")
    if not HAS_CPU_SCALER:
        with pytest.raises(ValueError, match=r"fp16 needs a CUDA device with torch .*; use bf16 or fp32"):
            Precision("fp16", "cpu")


def fp16_steps(precision, gradients, weight):
    """A step of SGD with each gradient; the weight after each, and the scale."""
    optimizer = torch.optim.SGD([weight], lr=1.0)
    seen = []
    for gradient in gradients:
        optimizer.zero_grad()
        precision.backward((weight * gradient).sum())
        precision.step(optimizer)
        seen.append((weight.item(), precision.scale))
    return seen


@needs_cpu_scaler
def test_a_step_that_overflows_is_left_out_and_halves_the_scale():
    weight = torch.nn.Parameter(torch.zeros(1))
    precision = Precision("fp16", "cpu")
    assert precision.overflows_are_expected and precision.scale == 1.0
    assert fp16_steps(precision, [1.0, float("inf"), 1.0], weight) == [(-1.0, 1.0), (-1.0, 0.5), (-2.0, 0.5)]


@needs_cpu_scaler
def test_a_small_scale_doubles_every_25_steps_and_later_more_seldom():
    weight = torch.nn.Parameter(torch.zeros(1))
    precision = Precision("fp16", "cpu")
    scales = [scale for _, scale in fp16_steps(precision, [0.0] * 801, weight)]
    # below 2 every 25 steps, below 8 every 100, below 32 every 400, as in icefall
    assert [scales[index] for index in (23, 24, 98, 99, 198, 199, 398, 399, 799)] == [1, 2, 2, 4, 4, 8, 8, 16, 32]
    other = Precision("fp16", "cpu")
    other.load_state_dict(precision.state_dict())
    assert other.scale == precision.scale and other.state_dict() == precision.state_dict()


@needs_cpu_scaler
def test_a_scale_that_is_too_small_ends_training(caplog):
    weight = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(
        RuntimeError, match=r"grad scale is too small: .* lower --base-lr, or train with --precision bf16"
    ):
        fp16_steps(Precision("fp16", "cpu"), [float("inf")] * 30, weight)
    assert weight.item() == 0.0 and "The fp16 loss scale fell to 7.8e-03" in caplog.text
