"""APCodec: log amplitudes and phases of short spectra, coded side by side by ConvNeXt blocks and residual VQ.

Ai et al. 2024, https://arxiv.org/abs/2402.10533; checkpoints `encoder_...` and `decoder_...` of github
YangAi520/APCodec (48 kHz; blocks with global response normalisation, codebooks behind projections) and
redmist328/APCodec16_speech_infer (16 kHz; blocks with a gain per channel, codebooks without). The layout, the sizes of
networks and transform, and how many spectra a code has, are read off the weights. T = floor(S / F) + 1, F the product
of hop and spectra of a code; T codes give T F - hop samples. C channels, B bins, L spectra, D dimensions.
"""

import dataclasses
from pathlib import Path
from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.vocos_block import NORM_EPS, VocosBlock
from icefall_discrete.tokenizers.formats.pretrained import Weights, locate_file, read_weights
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer
from icefall_discrete.tokenizers.networks.factorised_vq import FactorisedVq
from icefall_discrete.tokenizers.networks.residual_vq import CodebookQuantizer, ResidualVq, nearest

# Names of the two checkpoints, and of the state dicts in them.
ENCODER, DECODER = "encoder", "decoder"
AMPLITUDE, PHASE = ("logamp", "AMP"), ("pha", "PHA")
# Added to amplitudes before their logarithm.
FLOOR = 1e-5
RESPONSE_EPS = 1e-6


@dataclasses.dataclass(frozen=True)
class ApcodecConfig:
    """APCodec."""

    model: str = setting(
        "encoder_16k_4kbps",
        "APCodec's encoder, a file with `encoder` in its name; its decoder lies beside it, `decoder` in that place.",
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all.")
    codec_rate_hz: int = setting(16000, "Sample rate of the codec, in Hz; the weights do not tell.", above=0)
    hop_samples: int = setting(40, "Samples between spectra; the weights do not tell.", above=0)
    window_samples: int = setting(
        160, "Samples a spectrum sees; the weights do not tell (48 kHz of its authors: 320).", above=0
    )


class DirectionVq(ResidualVq):
    """Residual VQ that compares directions: the nearest of entries and states, all brought to length 1."""

    def encode(self, states: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, num_codebooks) int64 of states (T, D), by the first `num_codebooks`."""
        codes: List[Tensor] = []
        for book in self.codebooks()[:num_codebooks]:
            codes.append(nearest(F.normalize(states), F.normalize(book)))
            states = states - book[codes[-1]]
        return torch.stack(codes, dim=1)


class ResponseBlock(VocosBlock):
    """A Vocos block whose inner channels are normalised by their share over all frames, in place of the gain.

    Woo et al. 2023, https://arxiv.org/abs/2301.00808, section 3.2.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__(nn.LayerNorm(dim, eps=NORM_EPS), dim, hidden_dim)
        del self.gamma
        self.grn = nn.ParameterDict(
            {"gamma": nn.Parameter(torch.zeros(1, 1, hidden_dim)), "beta": nn.Parameter(torch.zeros(1, 1, hidden_dim))}
        )

    def forward(self, states: Tensor) -> Tensor:
        """Map (1, C, L) to the same shape."""
        inner = F.gelu(self.pwconv1(self.norm(self.dwconv(states).transpose(1, 2))))
        response = inner.norm(dim=1, keepdim=True)
        share = response / (response.mean(dim=2, keepdim=True) + RESPONSE_EPS)
        inner = self.grn["gamma"] * (inner * share) + self.grn["beta"] + inner
        return states + self.pwconv2(inner).transpose(1, 2)


def _conv(weights: Weights, name: str, stride: int = 1) -> nn.Conv1d:
    """The convolution of that name, padded by half of its kernel on both sides."""
    kernel = weights.take_normed(f"{name}.")
    width, inputs, size = kernel.shape
    conv = nn.Conv1d(inputs, width, size, stride, padding=(size - 1) // 2)
    conv.load_state_dict({"weight": kernel, "bias": weights.take(f"{name}.bias")})
    return conv


def _upsampling(weights: Weights, name: str) -> nn.ConvTranspose1d:
    """The transposed convolution of that name; its kernel is twice the stride, as in all published models."""
    kernel = weights.take_normed(f"{name}.")
    inputs, width, size = kernel.shape
    conv = nn.ConvTranspose1d(inputs, width, size, size // 2, padding=size // 4)
    conv.load_state_dict({"weight": kernel, "bias": weights.take(f"{name}.bias")})
    return conv


def _block(weights: Weights) -> VocosBlock:
    tensors = {name: weights.take(name) for name in weights.names()}
    if "pwconv1.weight" not in tensors:
        weights.take("pwconv1.weight")
    hidden_dim, dim = tensors["pwconv1.weight"].shape
    plain = "gamma" in tensors
    block = VocosBlock(nn.LayerNorm(dim, eps=NORM_EPS), dim, hidden_dim) if plain else ResponseBlock(dim, hidden_dim)
    try:
        block.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"the blocks of the weights are not those of APCodec ({error}).") from None
    return block


class Branch(nn.Sequential):
    """Amplitudes or phases, (1, C, L) -> (1, C', L): convolution, norm, blocks, norm, frames alone."""

    def __init__(self, weights: Weights, side: str) -> None:
        """Take the weights that end in `side`."""
        norms = []
        for name in (f"norm_{side}", f"final_layer_norm_{side}"):
            gain = weights.take(f"{name}.weight")
            norms.append(nn.LayerNorm(len(gain), eps=NORM_EPS))
            norms[-1].load_state_dict({"weight": gain, "bias": weights.take(f"{name}.bias")})
        blocks = weights.part(f"convnext_{side}.")
        num_blocks = len({name.split(".")[0] for name in blocks.names()})
        out = weights.take(f"out_{side}.weight")
        frames_alone = nn.Linear(out.shape[1], out.shape[0])
        frames_alone.load_state_dict({"weight": out, "bias": weights.take(f"out_{side}.bias")})
        embedding = _conv(weights, f"embed_{side}")
        super().__init__(
            embedding,
            Swapped(norms[0]),
            *(_block(blocks.part(f"{index}.")) for index in range(num_blocks)),
            Swapped(norms[1], frames_alone),
        )
        self.in_channels = embedding.in_channels
        blocks.require_empty()


class Swapped(nn.Sequential):
    """Modules on the channels of each frame, the last axis, for (1, C, L)."""

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        return super().forward(states.transpose(1, 2)).transpose(1, 2)


class Encoder(nn.Module):
    """Log amplitudes and phases (1, B, L) to states (T, D)."""

    def __init__(self, weights: Weights, stride: int) -> None:
        """Take all of `weights` but those of the quantizer; `stride`: spectra of a code."""
        super().__init__()
        sides = [Branch(weights, side) for side, _ in (AMPLITUDE, PHASE)]
        self.amplitudes, self.phases = (
            nn.Sequential(branch, _conv(weights, f"{name}_Encoder_downsample_output_conv", stride))
            for branch, (_, name) in zip(sides, (AMPLITUDE, PHASE))
        )
        self.num_bins = sides[0].in_channels
        self.joined = _conv(weights, "latent_output_conv")

    def forward(self, amplitudes: Tensor, phases: Tensor) -> Tensor:
        """See the class."""
        return self.joined(torch.cat([self.amplitudes(amplitudes), self.phases(phases)], dim=1))[0].t()


class Decoder(nn.Module):
    """States (T, D) to spectra (1, B, L), complex."""

    def __init__(self, weights: Weights) -> None:
        """Take all of `weights`."""
        super().__init__()
        self.split = _conv(weights, "latent_input_conv")
        sides = (AMPLITUDE, PHASE)
        upsampled = [_upsampling(weights, f"{name}_Decoder_upsample_input_conv") for _, name in sides]
        self.amplitudes, self.phases = (
            nn.Sequential(upsampling, Branch(weights, side)) for upsampling, (side, _) in zip(upsampled, sides)
        )
        self.stride = int(upsampled[0].stride[0])
        self.amplitude_out = _conv(weights, "AMP_Decoder_output_conv")
        self.real_out, self.imaginary_out = (_conv(weights, f"PHA_Decoder_output_{part}_conv") for part in "RI")
        weights.require_empty()

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        states = self.split(states.t()[None])
        phases = self.phases(states)
        angles = torch.atan2(self.imaginary_out(phases), self.real_out(phases))
        return torch.polar(self.amplitude_out(self.amplitudes(states)).exp(), angles)


class Apcodec(Codec):
    """A loaded APCodec."""

    not_traced = "takes the phase of spectra, which codes of another runtime's transform would not agree with"

    def __init__(self, encoder: Encoder, quantizer: CodebookQuantizer, decoder: Decoder, config: ApcodecConfig) -> None:
        """The parts in evaluation mode.

        Raises:
          ValueError: if the window is longer than the transform.
        """
        self._encoder, self._quantizer, self._decoder = encoder, quantizer, decoder
        self._size, self._hop, self._window = 2 * (encoder.num_bins - 1), config.hop_samples, config.window_samples
        if self._window > self._size:
            raise ValueError(
                f"window_samples is {self._window}, but {config.model} transforms {self._size} samples; correct it."
            )
        self.sample_rate_hz = config.codec_rate_hz
        self.frame_samples = self._hop * decoder.stride
        self.frame_rate_hz = self.sample_rate_hz / self.frame_samples
        self.codebook_sizes = tuple(len(book) for book in quantizer.codebooks())

    @property
    def min_samples(self) -> int:
        """A frame, and what is mirrored at the edges."""
        return max(self.frame_samples, self._size // 2 + 1)

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        window = torch.hann_window(self._window, device=samples.device)
        spectrum = torch.stft(samples[None], self._size, self._hop, self._window, window, return_complex=True)
        amplitudes = torch.log((spectrum.real.square() + spectrum.imag.square()).sqrt() + FLOOR)
        phases = torch.atan2(spectrum.imag, spectrum.real)
        return self._quantizer.encode(self._encoder(amplitudes, phases), num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec."""
        spectrum = self._decoder(self._quantizer.decode(codes))
        window = torch.hann_window(self._window, device=codes.device)
        return torch.istft(spectrum, self._size, self._hop, self._window, window)[0]

    def codebooks(self) -> List[Tensor]:
        """See Codec."""
        return self._quantizer.codebooks()


class ApcodecTokenizer(CodecTokenizer):
    """Codes (T, num_codebooks) of APCodec."""

    Config = ApcodecConfig
    kind = "APCodec"

    def _weight_files(self) -> List[Path]:
        path = Path(self.config.model)
        begin, known, end = path.name.rpartition(ENCODER)
        found = locate_file(self.config.model, self.kind)
        if not known:
            raise ValueError(
                f"{self.config.model} has no '{ENCODER}' in its name, so that its decoder cannot be found; "
                f"name the two files alike, but for '{ENCODER}' and '{DECODER}'."
            )
        return [found, locate_file(str(path.with_name(begin + DECODER + end)), self.kind)]

    def _load(self, files: List[Path]) -> Codec:
        weights, decoder_weights = (
            Weights(read_weights(path, (part,)), str(path)) for path, part in zip(files, (ENCODER, DECODER))
        )
        decoder = Decoder(decoder_weights).eval()
        quantizers = weights.part("quantizer.")
        encoder = Encoder(weights, decoder.stride).eval()
        weights.require_empty()
        if "quantizers.0.in_proj.bias" in quantizers:
            return Apcodec(encoder, FactorisedVq(quantizers), decoder, self.config)
        count = len(quantizers.names())
        books = [quantizers.take(f"quantizers.{index}.codebook.weight") for index in range(count)]
        return Apcodec(encoder, DirectionVq(books), decoder, self.config)
