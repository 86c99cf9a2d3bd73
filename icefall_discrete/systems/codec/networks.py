"""Encoder and decoder of a codec with fresh weights: the SEANet of inference, with its weights made parameters.

So there is one architecture: what is trained here is what `seanet_from` builds from the file, in the same code.
Residual blocks stand at every rate but that of the audio, where they would cost most and see 0.2 ms.
"""

import math
from typing import Dict, List, TypeVar

import torch
from torch import Tensor, nn

from icefall_discrete.systems.codec.config import CodecShape
from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.seanet import PaddedConvTranspose, Seanet, seanet_from

M = TypeVar("M", bound=nn.Module)
EDGE_KERNEL = 7
BLOCK_KERNEL = 3
# The waveform that an untrained decoder gives is quiet, as speech is.
LAST_GAIN = 0.1


class _FreshWeights:
    """Normal weights by name, in the layout of EnCodec's state dict; `index` is the next layer's."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self.tensors: Dict[str, Tensor] = {}
        self.index = 0

    def conv(self, name: str, shape: List[int], fan_in: int, gain: float = 1.0) -> None:
        inner = name.rpartition(".")[2]
        scale = gain / math.sqrt(fan_in)
        # A transposed convolution has its outputs in the second place.
        outputs = shape[1] if inner == "convtr" else shape[0]
        stem = f"model.{self.index}.{name}.{inner}"
        self.tensors[f"{stem}.weight"] = scale * torch.randn(shape, generator=self._generator)
        self.tensors[f"{stem}.bias"] = torch.zeros(outputs)

    def blocks(self, num_blocks: int, channels: int) -> None:
        """Residual blocks; activations have no weights."""
        hidden = channels // 2
        for _ in range(num_blocks):
            self.conv("block.1.conv", [hidden, channels, BLOCK_KERNEL], channels * BLOCK_KERNEL)
            self.conv("block.3.conv", [channels, hidden, 1], hidden)
            self.index += 1


def fresh_encoder(shape: CodecShape, generator: torch.Generator) -> Seanet:
    """A trainable encoder (N, 1, S) -> (N, D, S / F)."""
    fresh = _FreshWeights(generator)
    fresh.conv("conv", [shape.channels[0], 1, EDGE_KERNEL], EDGE_KERNEL)
    fresh.index += 1
    for stride, before, after in zip(shape.strides, shape.channels, shape.channels[1:]):
        fresh.index += 1  # the activation
        fresh.conv("conv", [after, before, 2 * stride], 2 * stride * before)
        fresh.index += 1
        fresh.blocks(shape.residual_blocks, after)
    fresh.index += 1
    last = shape.channels[-1]
    fresh.conv("conv", [shape.state_dim, last, EDGE_KERNEL], last * EDGE_KERNEL)
    return made_trainable(seanet_from(Weights(fresh.tensors, "fresh encoder"), shape.causal))


def fresh_decoder(shape: CodecShape, generator: torch.Generator) -> Seanet:
    """A trainable decoder (N, D, T) -> (N, 1, T F)."""
    fresh = _FreshWeights(generator)
    channels = shape.channels[::-1]
    fresh.conv("conv", [channels[0], shape.state_dim, EDGE_KERNEL], shape.state_dim * EDGE_KERNEL)
    fresh.index += 1
    for stride, before, after in zip(shape.strides[::-1], channels, channels[1:]):
        fresh.blocks(shape.residual_blocks, before)
        fresh.index += 1
        # Each output sample sees two of the inputs.
        fresh.conv("convtr", [before, after, 2 * stride], 2 * before)
        fresh.index += 1
    fresh.index += 1
    fresh.conv("conv", [1, channels[-1], EDGE_KERNEL], channels[-1] * EDGE_KERNEL, LAST_GAIN)
    return made_trainable(seanet_from(Weights(fresh.tensors, "fresh decoder"), shape.causal))


def made_trainable(network: M) -> M:
    """Turn all buffers of an inference network into parameters, in place; returns it in training mode."""
    for module in network.modules():
        for name, value in list(module.named_buffers(recurse=False)):
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(value.clone()))
    return network.train()


def published_names(network: Seanet) -> Dict[str, Tensor]:
    """The weights of a network of convolutions under the names that `seanet_from` reads."""
    tensors: Dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        path, _, kind = name.rpartition(".")
        inner = "convtr" if isinstance(network.get_submodule(path), PaddedConvTranspose) else "conv"
        tensors[f"model.{path.partition('.')[2]}.{inner}.{inner}.{kind}"] = value.detach().cpu().clone()
    return tensors
