import pytest
import torch

from icefall_discrete.training.precision import Precision


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
    with pytest.raises(ValueError, match="fp16 needs a CUDA device; use bf16 or fp32"):
        Precision("fp16", "cpu")
    with pytest.raises(ValueError, match="'fp8'; known: fp32, bf16, fp16"):
        Precision("fp8", "cpu")
