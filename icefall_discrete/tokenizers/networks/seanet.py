"""SEANet, the convolutional encoder and decoder of EnCodec and its descendants, at inference.

Tagliasacchi et al. 2020, https://arxiv.org/abs/2009.02095; Défossez et al. 2022, https://arxiv.org/abs/2210.13438.
The architecture is read off the names and shapes of the weights, in the state dicts of EnCodec's code: number of
layers, strides, widths, LSTM or none, in one direction or two, ELU or Snake. Only two things cannot be seen there:
whether convolutions are causal, which is an argument, and the dilation of the j-th residual block of a stage, which
is 2^j as in all published models. Letters: C channels, L samples or frames.
"""

from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.tracing import at_least_zero, is_traced
from icefall_discrete.tokenizers.formats.pretrained import Weights

DILATION_BASE = 2


def reflect_pad(signal: Tensor, left: int, right: int) -> Tensor:
    """Reflect (C, L) at its edges; what is shorter than the padding is filled up with zeros on the right before."""
    longer = at_least_zero(left - right) + right
    missing = at_least_zero(longer - signal.shape[-1] + 1)
    if missing == 0 and not is_traced():
        return F.pad(signal, (left, right), mode="reflect")
    padded = F.pad(F.pad(signal, (0, missing)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - missing]


class PaddedConv(nn.Module):
    """Convolution (C, L) -> (C', ceil(L / stride)), reflecting at the edges; the stride is 1 or half of the kernel."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weights: Weights, causal: bool, dilation: int = 1, strided: bool = False) -> None:
        """Take `conv.weight` (in any form of weight normalisation) and `conv.bias`, which must be all of `weights`."""
        super().__init__()
        self.register_buffer("weight", weights.take_normed("conv."))
        self.register_buffer("bias", weights.take("conv.bias"))
        weights.require_empty()
        self.stride = self.weight.shape[2] // 2 if strided else 1
        self.dilation, self.causal = dilation, causal

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        total = (self.weight.shape[2] - 1) * self.dilation - (self.stride - 1)
        right = 0 if self.causal else total // 2
        if total > 0:
            # So that the last stride is whole; a trace does not look whether it is.
            right_extra = -signal.shape[-1] % self.stride if self.stride > 1 else 0
            signal = reflect_pad(signal, total - right, right + right_extra)
        if is_traced():  # other runtimes know no convolution without a batch
            return F.conv1d(signal[None], self.weight, self.bias, self.stride, dilation=self.dilation)[0]
        return F.conv1d(signal, self.weight, self.bias, self.stride, dilation=self.dilation)


class PaddedConvTranspose(nn.Module):
    """Transposed convolution (C, L) -> (C', L * stride), kernel 2 * stride, trimmed at the right if causal."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weights: Weights, causal: bool) -> None:
        """Take `convtr.weight` and `convtr.bias`, which must be all of `weights`."""
        super().__init__()
        self.register_buffer("weight", weights.take_normed("convtr."))
        self.register_buffer("bias", weights.take("convtr.bias"))
        weights.require_empty()
        self.stride, self.causal = self.weight.shape[2] // 2, causal

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        full = F.conv_transpose1d(signal, self.weight, self.bias, self.stride)
        total = self.weight.shape[2] - self.stride
        right = total if self.causal else total // 2
        return full[..., total - right : full.shape[-1] - right]


class Snake(nn.Module):
    """x + sin^2(a x) / a with a per channel. Ziyin et al. 2020, https://arxiv.org/abs/2006.08195."""

    alpha: Tensor

    def __init__(self, weights: Weights) -> None:
        """Take `alpha` (1, C, 1) from `weights`."""
        super().__init__()
        self.register_buffer("alpha", weights.take("alpha")[0])

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        return signal + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * signal).square()


class ResidualLstm(nn.Module):
    """LSTM over time with its input added; in two directions, (C, L) -> (2 C, L), the input is added to both."""

    def __init__(self, weights: Weights) -> None:
        """Take `lstm.*` from `weights`."""
        super().__init__()
        values = {name: weights.take(name) for name in weights.names()}
        size = values["lstm.weight_hh_l0"].shape[1]
        num_layers = sum(name.startswith("lstm.bias_ih_l") and not name.endswith("_reverse") for name in values)
        self.bidirectional = "lstm.bias_ih_l0_reverse" in values
        self.lstm = nn.LSTM(size, size, num_layers, bidirectional=self.bidirectional)
        self.load_state_dict(values)

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        states = signal.t()[:, None]
        output = self.lstm(states)[0] + (states.repeat(1, 1, 2) if self.bidirectional else states)
        return output[:, 0].t()


class ResidualBlock(nn.Module):
    """Activation, dilated convolution, activation, convolution; added to its input, which may be convolved as well."""

    def __init__(self, weights: Weights, causal: bool, dilation: int) -> None:
        """Take `block.1.*`, `block.3.*` and what there is of `block.0.*`, `block.2.*` and `shortcut.*`."""
        super().__init__()
        self.block = nn.Sequential(
            _activation(weights.part("block.0.")),
            PaddedConv(weights.part("block.1.conv."), causal, dilation=dilation),
            _activation(weights.part("block.2.")),
            PaddedConv(weights.part("block.3.conv."), causal),
        )
        shortcut = weights.part("shortcut.conv.")
        self.shortcut = PaddedConv(shortcut, causal) if shortcut.names() else nn.Identity()

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        return self.shortcut(signal) + self.block(signal)


def _activation(weights: Weights) -> nn.Module:
    module = Snake(weights) if "alpha" in weights else nn.ELU()
    weights.require_empty()
    return module


class Seanet(nn.Module):
    """An encoder (1, S) -> (D, T) or a decoder (D, T) -> (1, S); `stride` is the samples of a frame."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        """`layers` in their order."""
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.stride = 1
        for layer in layers:
            self.stride *= getattr(layer, "stride", 1)

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        return self.layers(signal)


def seanet_from(weights: Weights, causal: bool) -> Seanet:
    """Build a SEANet from the state dict of its `model`, with names from `model.0.conv.conv.bias` on.

    Raises:
      ValueError: if the weights are not those of a SEANet.
    """
    indices = sorted({int(name.split(".")[1]) for name in weights.names() if name.startswith("model.")})
    if not indices:
        weights.take("model.0.conv.conv.bias")
    layers: List[nn.Module] = []
    blocks = 0
    for index in range(indices[-1] + 1):
        part = weights.part(f"model.{index}.")
        is_edge = index in (0, indices[-1])
        if any(name.startswith("block.") for name in part.names()):
            layers.append(ResidualBlock(part, causal, DILATION_BASE**blocks))
            blocks += 1
        else:
            layers.append(_plain_layer(part, causal, is_edge))
            if getattr(layers[-1], "stride", 1) > 1:
                blocks = 0
        part.require_empty()
    weights.require_empty()
    return Seanet(layers).eval()


def _plain_layer(part: Weights, causal: bool, is_edge: bool) -> nn.Module:
    """One layer that is no residual block: an index without weights is an activation."""
    kinds = {name.split(".")[0] for name in part.names()}
    if "lstm" in kinds:
        return ResidualLstm(part)
    if "convtr" in kinds:
        return PaddedConvTranspose(part.part("convtr."), causal)
    if "conv" in kinds:
        # Convolutions inside the stack shorten the signal; the first and the last one do not.
        return PaddedConv(part.part("conv."), causal, strided=not is_edge)
    return _activation(part)
