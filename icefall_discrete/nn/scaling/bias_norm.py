"""BiasNorm: scale each frame to a learned root mean square, measured from a learned bias."""

from typing import Any, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.nn.fused import fusible
from icefall_discrete.nn.scaling.limits import draw_limit, limited_gradient
from icefall_discrete.nn.tracing import applied

LOG_SCALE_MIN, LOG_SCALE_MAX = -1.5, 1.5


@fusible
def _normalised(x: Tensor, bias: Tensor, log_scale: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """s x, s and 1 / rms(x - bias), the last two one number a frame."""
    centred = x - bias
    inverse_rms = torch.rsqrt(centred.mul_(centred).mean(dim=-1, keepdim=True))
    scale = inverse_rms * log_scale.exp()
    return (x * scale).to(x.dtype), scale, inverse_rms


@fusible
def _input_gradient(
    grad: Tensor, values: Tensor, bias: Tensor, scale: Tensor, inverse_rms: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    """Gradient of x; of log_scale, one number a frame; and what pulls each frame to the bias."""
    slope = (grad * values).sum(dim=-1, keepdim=True).mul_(scale)
    pull = slope * inverse_rms.square() / values.shape[-1]
    return (grad * scale).addcmul_(pull, values, value=-1.0).addcmul_(pull, bias), slope, pull


class _BiasNorm(torch.autograd.Function):
    """y = s x with s = exp(log_scale) / rms(x - bias); keeps x and one number a frame for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, log_scale: Tensor, limit: bool) -> Tensor:
        out, scale, inverse_rms = _normalised(x, bias, log_scale)
        ctx.save_for_backward(x, bias, log_scale, scale, inverse_rms)
        ctx.limit = limit
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, Tensor, Tensor, None]:
        x, bias, log_scale, scale, inverse_rms = ctx.saved_tensors
        grad = grad.to(scale.dtype)
        values = x.to(scale.dtype)
        x_grad, slope, pull = _input_gradient(grad, values, bias, scale, inverse_rms)
        weights = pull.reshape(1, -1)
        bias_grad = (
            torch.mm(weights, values.reshape(-1, x.shape[-1])).squeeze(0).addcmul_(weights.sum(), bias, value=-1.0)
        )
        log_scale_grad = slope.sum()
        if ctx.limit:
            log_scale_grad = limited_gradient(log_scale, log_scale_grad, LOG_SCALE_MIN, LOG_SCALE_MAX)
        return x_grad.to(x.dtype), bias_grad, log_scale_grad, None


class BiasNorm(nn.Module):
    """Normalise the last dimension to root mean square exp(log_scale), measured around a learned bias.

    Zipformer, https://arxiv.org/abs/2310.11230, section 3.3. In training the log scale is kept within +-1.5.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.empty(dim).normal_(mean=0.0, std=1e-4))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., dim) to the same shape."""
        return applied(_BiasNorm, x, self.bias, self.log_scale, draw_limit(self.training))
