"""Linear layers whose initial scale is chosen."""

import torch
from torch import nn


def scaled_linear(in_dim: int, out_dim: int, scale: float, bias: bool = True) -> nn.Linear:
    """Return nn.Linear with initial weights multiplied by `scale` and biases uniform in +-0.1 x `scale`."""
    layer = nn.Linear(in_dim, out_dim, bias=bias)
    with torch.no_grad():
        layer.weight.mul_(scale)
        if bias:
            layer.bias.uniform_(-0.1 * scale, 0.1 * scale)
    return layer
