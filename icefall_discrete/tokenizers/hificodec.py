"""HiFi-Codec: a HiFi-GAN encoder and decoder around group-residual VQ; 16 or 24 kHz, 4 x 1024.

Yang et al. 2023, https://arxiv.org/abs/2305.02765; weights of github yangdongchao/AcademiCodec. States are split into
groups with a codebook each, and what they leave over is coded once more: with 2 groups, codebooks 0 and 1 are the
groups, 2 and 3 their residuals. Group norms look at the whole utterance. T = floor(S / F), F the product of strides:
320 at 16 kHz, 320 or 240 at 24 kHz. Widths, strides and groups are read off the weights. Letters: C channels,
L samples or frames, D = 512 dimensions.
"""

import dataclasses
import math
from pathlib import Path
from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.tracing import is_traced
from icefall_discrete.tokenizers.formats.pretrained import Weights, read_weights
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer

SLOPE = 0.1
DILATIONS = (1, 3, 5)
NORM_EPS = 1e-6
CHANNELS_OF_A_GROUP = 16
NUM_RESIDUALS = 2


@dataclasses.dataclass(frozen=True)
class HificodecConfig:
    """HiFi-Codec."""

    model: str = setting(
        "Dongchao/AcademiCodec/HiFi-Codec-16k-320d",
        "HiFi-Codec weights: a file, or ORG/NAME/PATH of a file on the hub.",
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all (4); 2: the groups without their residuals.")
    codec_rate_hz: int = setting(16000, "Sample rate of the codec, in Hz; the weights do not tell.", above=0)


class Conv(nn.Module):
    """Convolution or transposed convolution, padded on both sides by half of (kernel - stride).

    The stride is 1, or half of the kernel (rounded down) as in all published models.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weights: Weights, dilation: int = 1, strided: bool = False, transposed: bool = False) -> None:
        """Take `weight` (in any form of weight normalisation) and `bias`, which must be all of `weights`."""
        super().__init__()
        self.register_buffer("weight", weights.take_normed(""))
        self.register_buffer("bias", weights.take("bias"))
        weights.require_empty()
        kernel = self.weight.shape[2]
        self.stride = kernel // 2 if strided else 1
        self.padding = ((kernel - 1) * dilation + 1 - self.stride) // 2
        self.dilation, self.transposed = dilation, transposed

    def forward(self, signal: Tensor) -> Tensor:
        """Map (C, L) to (C', L / stride), or (C', L stride) if transposed."""
        if self.transposed:
            return F.conv_transpose1d(signal, self.weight, self.bias, self.stride, self.padding)
        if is_traced():  # other runtimes know no convolution without a batch
            return F.conv1d(signal[None], self.weight, self.bias, self.stride, self.padding, self.dilation)[0]
        return F.conv1d(signal, self.weight, self.bias, self.stride, self.padding, self.dilation)


class ResidualBlock(nn.Module):
    """Three times dilated convolution and convolution, added to the input (C, L)."""

    def __init__(self, weights: Weights) -> None:
        """Take `convs1.*` and `convs2.*`, which must be all of `weights`."""
        super().__init__()
        self.dilated = ModuleRow(
            Conv(weights.part(f"convs1.{index}."), dilation=dilation) for index, dilation in enumerate(DILATIONS)
        )
        self.plain = ModuleRow(Conv(weights.part(f"convs2.{index}.")) for index in range(len(DILATIONS)))
        weights.require_empty()

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        for dilated, plain in zip(self.dilated, self.plain):
            signal = signal + plain(F.leaky_relu(dilated(F.leaky_relu(signal, SLOPE)), SLOPE))
        return signal


def _resamplers(weights: Weights, transposed: bool) -> ModuleRow[Conv]:
    """The strided convolutions, one a stage."""
    indices = {int(name.split(".")[1]) for name in weights.names() if name.startswith("ups.")}
    return ModuleRow(
        Conv(weights.part(f"ups.{index}."), strided=True, transposed=transposed) for index in sorted(indices)
    )


def _blocks(weights: Weights, num_stages: int) -> List[ModuleRow[ResidualBlock]]:
    """The residual blocks of each stage: as many in one stage as in another."""
    indices = {int(name.split(".")[1]) for name in weights.names() if name.startswith("resblocks.")}
    blocks = [ResidualBlock(weights.part(f"resblocks.{index}.")) for index in sorted(indices)]
    size = len(blocks) // num_stages
    return [ModuleRow(blocks[start : start + size]) for start in range(0, len(blocks), size)]


class Encoder(nn.Module):
    """Audio (1, S) to states (D, T)."""

    def __init__(self, weights: Weights) -> None:
        """Take all of `weights`."""
        super().__init__()
        self.before = Conv(weights.part("conv_pre."))
        self.downs = _resamplers(weights, transposed=False)
        self.blocks = ModuleRow(_blocks(weights, len(self.downs)))
        self.norms = nn.ModuleList()
        for index in range(sum(len(stage) for stage in self.blocks)):
            gain = weights.take(f"normalize.{index}.weight")
            norm = nn.GroupNorm(max(1, len(gain) // CHANNELS_OF_A_GROUP), len(gain), eps=NORM_EPS)
            norm.load_state_dict({"weight": gain, "bias": weights.take(f"normalize.{index}.bias")})
            self.norms.append(norm)
        self.after = Conv(weights.part("conv_post."))
        weights.require_empty()

    def forward(self, signal: Tensor) -> Tensor:
        """See the class."""
        signal = self.before(signal)
        norms = iter(self.norms)
        for down, stage in zip(self.downs, self.blocks):
            signal = down(F.leaky_relu(signal, SLOPE))
            total = signal.new_zeros(())
            for block in stage:
                # The authors normalise the running sum, not each block's output.
                total = next(norms)((total + block(signal))[None])[0]
            signal = total / len(stage)
        # With torch's slope, not SLOPE, in the authors' code.
        return self.after(F.leaky_relu(signal))


class Generator(nn.Module):
    """States (D, T) to audio (1, S), S = T F."""

    def __init__(self, weights: Weights) -> None:
        """Take all of `weights`."""
        super().__init__()
        self.before = Conv(weights.part("conv_pre."))
        self.ups = _resamplers(weights, transposed=True)
        self.blocks = ModuleRow(_blocks(weights, len(self.ups)))
        self.after = Conv(weights.part("conv_post."))
        weights.require_empty()

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        signal = self.before(states)
        for up, stage in zip(self.ups, self.blocks):
            signal = up(F.leaky_relu(signal, SLOPE))
            signal = sum(block(signal) for block in stage) / len(stage)
        return torch.tanh(self.after(F.leaky_relu(signal, SLOPE)))


def nearest(states: Tensor, codebook: Tensor) -> Tensor:
    """Index (T,) of the entry of `codebook` (V, D) nearest to each of `states` (T, D); the first one of equals.

    Terms are summed in the authors' order, which is not EnCodec's, so that near ties fall as theirs.
    """
    squares = states.square().sum(1, keepdim=True) + codebook.square().sum(1)
    return (squares - 2 * states @ codebook.t()).argmin(1)


class GroupResidualVq(nn.Module):
    """Groups of dimensions with a codebook each, then codebooks for what they left over."""

    def __init__(self, weights: Weights) -> None:
        """Take all of `weights`: `quantizer_modules.G.embedding.weight`, and `quantizer_modules2` of the residuals."""
        super().__init__()
        self.num_groups = sum(name.startswith("quantizer_modules.") for name in weights.names())
        for index in range(NUM_RESIDUALS * self.num_groups):
            layer, group = divmod(index, self.num_groups)
            module = "quantizer_modules" if layer == 0 else f"quantizer_modules{layer + 1}"
            self.register_buffer(f"codebook{index}", weights.take(f"{module}.{group}.embedding.weight"))
        weights.require_empty()

    def codebooks(self) -> List[Tensor]:
        """The codebooks (V, D / groups): groups of the first layer, then of the second."""
        return [getattr(self, f"codebook{index}") for index in range(NUM_RESIDUALS * self.num_groups)]

    def encode(self, states: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, num_codebooks) of states (T, D), by the first `num_codebooks`."""
        codes: List[Tensor] = []
        states = states.contiguous()
        books = self.codebooks()
        for start in range(0, len(books), self.num_groups):
            chosen = books[start : start + self.num_groups]
            found = [nearest(part, book) for part, book in zip(states.chunk(self.num_groups, dim=1), chosen)]
            entries = torch.cat([book[ids] for book, ids in zip(chosen, found)], dim=1)
            # As the straight-through estimator of the authors rounds it.
            states = states - (states + (entries - states))
            codes += found
        return torch.stack(codes[:num_codebooks], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """States (T, D) of codes (T, K); codebooks that are left out add nothing."""
        books = self.codebooks()
        size = books[0].shape[1]
        states = books[0].new_zeros(len(codes), self.num_groups * size)
        for index in range(codes.shape[1]):
            start = index % self.num_groups * size
            states[:, start : start + size] += books[index][codes[:, index]]
        return states


class HificodecCodec(Codec):
    """A loaded HiFi-Codec."""

    frames_to_trace = 1

    def __init__(self, weights: Weights, sample_rate_hz: int) -> None:
        """Take encoder, quantizer and generator from `weights`."""
        self._encoder = Encoder(weights.part("encoder.")).eval()
        self._quantizer = GroupResidualVq(weights.part("quantizer."))
        self._generator = Generator(weights.part("generator.")).eval()
        self.sample_rate_hz = sample_rate_hz
        self.frame_samples = math.prod(down.stride for down in self._encoder.downs)
        self.frame_rate_hz = sample_rate_hz / self.frame_samples
        self.codebook_sizes = tuple(len(book) for book in self._quantizer.codebooks())

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        return self._quantizer.encode(self._encoder(samples[None]).t(), num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec."""
        return self._generator(self._quantizer.decode(codes).t().contiguous())[0]

    def codebooks(self) -> List[Tensor]:
        """See Codec."""
        return self._quantizer.codebooks()


class HificodecTokenizer(CodecTokenizer):
    """Codes (T, num_codebooks) of HiFi-Codec."""

    Config = HificodecConfig
    kind = "HiFi-Codec"

    def _load(self, files: List[Path]) -> Codec:
        weights = Weights(read_weights(files[0]), str(files[0]))
        weights.drop(r"(?!encoder\.|quantizer\.|generator\.).*")
        return HificodecCodec(weights, self.config.codec_rate_hz)
