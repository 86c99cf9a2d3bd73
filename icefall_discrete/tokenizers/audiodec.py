"""AudioDec: a causal SEANet without LSTM and residual VQ; 80 Hz at 24 kHz, 160 or 150 Hz at 48 kHz.

Wu et al. 2023, https://arxiv.org/abs/2305.16608; checkpoints of its autoencoders of github facebookresearch/AudioDec
(`symAD...`, `symAAD...`), whose own decoder is read too; those of its separate vocoders are not. T = ceil(S / F), F the
product of the strides. C channels, L samples or frames, T frames, D dimensions.
"""

import dataclasses
from pathlib import Path
from typing import List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.formats.pretrained import Weights, read_weights
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer
from icefall_discrete.tokenizers.networks.residual_vq import ResidualVq
from icefall_discrete.tokenizers.networks.seanet import Seanet
from icefall_discrete.tokenizers.networks.seanet_codec import SeanetCodec

DILATIONS = (1, 3, 9)
# Where their trainer puts the state dict; beside it lie discriminators and optimisers.
STATE_DICT_KEY = "model"
UNUSED = r"(?!generator\.).*|.*\.pad_buffer"


@dataclasses.dataclass(frozen=True)
class AudiodecConfig:
    """AudioDec."""

    model: str = setting(
        "checkpoint-500000steps.pkl",
        "AudioDec weights, a file: `exp/autoencoder/symAD_libritts_24000_hop300` of their release has the default.",
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all.")
    codec_rate_hz: int = setting(24000, "Sample rate of the codec, in Hz; the weights do not tell.", above=0)


class CausalConv(nn.Module):
    """Convolution (C, L) -> (C', ceil(L / stride)) behind zeros; the stride is 1 or half of the kernel."""

    weight: Tensor
    bias: Optional[Tensor]

    def __init__(self, weights: Weights, dilation: int = 1, strided: bool = False) -> None:
        """Take `weight` (in any form of weight normalisation), and `bias` if there is one."""
        super().__init__()
        self.register_buffer("weight", weights.take_normed(""))
        self.register_buffer("bias", weights.take("bias") if "bias" in weights else None)
        weights.require_empty()
        kernel = self.weight.shape[2]
        self.stride, self.dilation = (kernel // 2 if strided else 1), dilation
        self.zeros = (kernel - 1) * dilation

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        signal = F.pad(signal, (self.zeros, 0))
        return F.conv1d(signal, self.weight, self.bias, self.stride, dilation=self.dilation)


class CausalUpsampling(nn.Module):
    """Transposed convolution (C, L) -> (C', L stride), kernel 2 stride, behind a copy of the first frame."""

    weight: Tensor
    bias: Optional[Tensor]

    def __init__(self, weights: Weights) -> None:
        """Take `weight` and `bias`."""
        super().__init__()
        self.register_buffer("weight", weights.take_normed(""))
        self.register_buffer("bias", weights.take("bias") if "bias" in weights else None)
        weights.require_empty()
        self.stride = self.weight.shape[2] // 2

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        signal = torch.cat([signal[:, :1], signal], dim=1)
        full = F.conv_transpose1d(signal, self.weight, self.bias, self.stride)
        return full[:, self.stride : -self.stride]


class ResidualUnit(nn.Module):
    """ELU, dilated convolution, ELU, convolution of single frames; added to the input (C, L)."""

    def __init__(self, weights: Weights, dilation: int) -> None:
        """Take `conv1.conv.*` and `conv2.*`."""
        super().__init__()
        self.conv1 = CausalConv(weights.part("conv1.conv."), dilation)
        self.conv2 = CausalConv(weights.part("conv2."))

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        return signal + self.conv2(F.elu(self.conv1(F.elu(signal))))


def _units(weights: Weights) -> List[nn.Module]:
    return [ResidualUnit(weights.part(f"res_units.{index}."), dilation) for index, dilation in enumerate(DILATIONS)]


def _num_blocks(weights: Weights) -> int:
    return len({name.split(".")[1] for name in weights.names() if name.startswith("conv_blocks.")})


def encoder_from(weights: Weights, activated: bool) -> Seanet:
    """Encoder (1, S) -> (D, T) of `encoder.*` and `projector.*`; activated: it ends in an ELU."""
    encoder = weights.part("encoder.")
    layers: List[nn.Module] = [CausalConv(encoder.part("conv.conv."))]
    for index in range(_num_blocks(encoder)):
        block = encoder.part(f"conv_blocks.{index}.")
        layers += [*_units(block), CausalConv(block.part("conv.conv."), strided=True)]
        block.require_empty()
    encoder.require_empty()
    return Seanet([*layers, *([nn.ELU()] if activated else []), CausalConv(weights.part("projector.project.conv."))])


def decoder_from(weights: Weights, activated: bool) -> Seanet:
    """Decoder (D, T) -> (1, S) of the names behind `decoder.`; activated: ELU before each block, tanh at the end."""
    layers: List[nn.Module] = [CausalConv(weights.part("conv1.conv."))]
    for index in range(_num_blocks(weights)):
        block = weights.part(f"conv_blocks.{index}.1." if activated else f"conv_blocks.{index}.")
        layers += [nn.ELU()] if activated else []
        layers += [CausalUpsampling(block.part("conv.deconv.")), *_units(block)]
        block.require_empty()
    layers += [nn.ELU()] if activated else []
    layers.append(CausalConv(weights.part("conv2.conv.")))
    weights.require_empty()
    return Seanet([*layers, *([nn.Tanh()] if activated else [])])


class AudiodecTokenizer(CodecTokenizer):
    """Codes (T, num_codebooks) of AudioDec."""

    Config = AudiodecConfig
    kind = "AudioDec"

    def _load(self, files: List[Path]) -> Codec:
        weights = Weights(read_weights(files[0], (STATE_DICT_KEY,)), str(files[0]))
        if not any(name.endswith(".pad_buffer") for name in weights.names()):
            raise ValueError(
                f"{files[0]} is no causal AudioDec: it has no weight that ends in .pad_buffer; correct `model`."
            )
        weights.drop(UNUSED)
        weights = weights.part("generator.")
        activated = any(name.startswith("decoder.conv_blocks.0.1.") for name in weights.names())
        encoder, decoder = encoder_from(weights, activated), decoder_from(weights.part("decoder."), activated)
        quantizer = weights.part("quantizer.codebook.")
        quantizer.drop(r"layers\.\d+\.(cluster_size|embed_avg)")
        books = [quantizer.take(f"layers.{index}.embed").t() for index in range(len(quantizer.names()))]
        weights.require_empty()
        return SeanetCodec(encoder.eval(), ResidualVq(books), decoder.eval(), self.config.codec_rate_hz)
