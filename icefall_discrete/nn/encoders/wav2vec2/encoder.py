"""The transformer of wav2vec 2.0. Letters: N utterances, T frames, D dimension, H heads."""

import math
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.adaptation import AdapterPlace
from icefall_discrete.nn.attention.feed_forward import FeedForward
from icefall_discrete.nn.attention.multi_head import MultiHeadAttention
from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.encoders.wav2vec2.config import Wav2Vec2Config
from icefall_discrete.nn.encoders.wav2vec2.relative import GatedAttention, OffsetBias
from icefall_discrete.nn.lengths import with_whole_gradients
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames

_EPSILON = 1e-5
_DEVIATION = 0.02


class PositionConvolution(nn.Module):
    """What neighbours tell of a frame's place: a grouped convolution, whose weight is a direction and a gain, and GELU.

    Args:
      dim: D. kernel: frames that it sees, half of them before. groups: of dimensions that see each other.
    """

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        self.direction = nn.Parameter(torch.empty(dim, dim // groups, kernel))
        self.gain = nn.Parameter(torch.empty(1, 1, kernel))
        self.bias = nn.Parameter(torch.zeros(dim))
        nn.init.normal_(self.direction, std=math.sqrt(4.0 / (kernel * dim)))
        with torch.no_grad():
            self.gain.copy_(self.direction.norm(dim=(0, 1), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, T, D), zeros behind ends, to (N, T, D)."""
        weight = torch._weight_norm(self.direction, self.gain, 2)
        out = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        return with_whole_gradients(F.gelu(out[:, :, : x.shape[1]])).transpose(1, 2)


class Wav2Vec2Layer(nn.Module):
    """Attention, then feed-forward with GELU; normalised behind each, or before it."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        dim = config.dim
        self.norm_first, self.dropout = config.norm_first, config.dropout
        kind = GatedAttention if config.relative_buckets else MultiHeadAttention
        self.self_attn = kind(dim, config.num_heads, config.attention_dropout)
        self.norm1 = nn.LayerNorm(dim, eps=_EPSILON)
        self.feed_forward = FeedForward(dim, config.feedforward_dim, config.activation_dropout, F.gelu)
        self.norm2 = nn.LayerNorm(dim, eps=_EPSILON)
        self.adapter_middle, self.adapter_out = AdapterPlace(dim), AdapterPlace(dim)

    def _attended(self, x: Tensor, hidden: Optional[Tensor], bias: Optional[Tensor]) -> Tensor:
        if isinstance(self.self_attn, GatedAttention):
            assert bias is not None
            return self.self_attn.attend(x, hidden, bias)
        return self.self_attn(x, x, hidden)

    def _added(self, x: Tensor, found: Tensor) -> Tensor:
        return x + dropped(found, self.dropout, self.training)

    def forward(self, x: Tensor, hidden: Optional[Tensor], bias: Optional[Tensor]) -> Tensor:
        """Map x (N, T, D) to (N, T, D); `hidden` as of MultiHeadAttention, bias (H, T, T) or None."""
        if self.norm_first:
            x = self.adapter_middle(self._added(x, self._attended(self.norm1(x), hidden, bias)))
            return self.adapter_out(self._added(x, self.feed_forward(self.norm2(x))))
        x = self.adapter_middle(self.norm1(self._added(x, self._attended(x, hidden, bias))))
        return self.adapter_out(self.norm2(self._added(x, self.feed_forward(x))))


class Wav2Vec2Encoder(Encoder):
    """Positions by a convolution, layers in turn of which some are passed over in training, a normalisation.

    Args:
      config: the settings.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.positions = PositionConvolution(config.dim, config.position_kernel, config.position_groups)
        self.norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        self.offsets: Optional[OffsetBias] = None
        if config.relative_buckets:
            self.offsets = OffsetBias(config.relative_buckets, config.largest_offset, config.num_heads)
        self.layers = ModuleRow(Wav2Vec2Layer(config) for _ in range(config.num_layers))
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_DEVIATION)
                nn.init.zeros_(module.bias)

    @property
    def passes_over_layers(self) -> bool:
        """Whether training leaves out layers at random, so that processes use different ones."""
        return self.config.layer_dropout > 0

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode a padded batch x (N, T, dim) with lens (N,); `inner` are layers whose outputs are returned too."""
        config = self.config
        frames = UtteranceFrames(lens, x.shape[1])
        x = frames.without_padding(x)
        x = x + self.positions(x)
        x = dropped(x if config.norm_first else self.norm(x), config.dropout, self.training)
        bias = None if self.offsets is None else self.offsets(x.shape[1])
        outputs = {}
        for index, layer in enumerate(self.layers):
            if not (self.training and config.layer_dropout and float(torch.rand(())) < config.layer_dropout):
                x = layer(x, frames.hidden_sources, bias)
            if index in inner:
                outputs[index] = x
        encoded = self.norm(x) if config.norm_first else x
        return EncoderOutput(encoded, lens, [(outputs[index], lens) for index in inner])
