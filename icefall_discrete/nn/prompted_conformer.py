"""A Conformer whose layers look at a prompt too, by cross-attention without positions: its order tells nothing.

Du et al. 2023, https://arxiv.org/abs/2306.07547, section 4, with the layers of the public code, which are ESPnet's:
feed-forwards are convolutions (MultiLayeredConv1d). Submodules have the names of its state dict, from which pointwise
convolutions lose their last axis. N utterances, T frames, P frames of prompts, C channels, D dimension.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn

from icefall_discrete.nn.attention.context import Context
from icefall_discrete.nn.attention.multi_head import MultiHeadAttention, RelativeAttention
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.attention.positions import RelativePositions
from icefall_discrete.nn.encoders.conformer.convolution import ConvolutionModule
from icefall_discrete.nn.utterance_frames import UtteranceFrames

_FEED_FORWARD_KERNEL = 3
_FEED_FORWARD_REACH = 2 * (_FEED_FORWARD_KERNEL // 2)


class PromptedShape(NamedTuple):
    """Shape of a row of layers: D, heads, hidden channels of feed-forwards, layers, kernel of convolutions, dropout.

    attention_frames: how many frames on each side a frame attends to; 0: to all.
    """

    dim: int
    num_heads: int
    feedforward_dim: int
    num_layers: int
    kernel: int
    dropout: float
    attention_frames: int

    @property
    def reach(self) -> Optional[int]:
        """Frames on each side that an output depends on; None: all."""
        if not self.attention_frames:
            return None
        return self.num_layers * (self.attention_frames + self.kernel // 2 + 2 * _FEED_FORWARD_REACH)


class Seen(NamedTuple):
    """What targets see of prompts: vectors (N, P, D), and where there are none, bool (N, 1, P), or None."""

    prompt: Tensor
    hidden: Optional[Tensor]


class ConvFeedForward(nn.Module):
    """Convolution over time, rectifier, dropout, convolution; nothing is behind the end of an utterance."""

    def __init__(self, shape: PromptedShape) -> None:
        super().__init__()
        kernel, padding = _FEED_FORWARD_KERNEL, _FEED_FORWARD_KERNEL // 2
        self.w_1 = nn.Conv1d(shape.dim, shape.feedforward_dim, kernel, padding=padding)
        self.w_2 = nn.Conv1d(shape.feedforward_dim, shape.dim, kernel, padding=padding)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, D) to (N, T, D); `frames` are its extents."""
        hidden = self.w_1(frames.without_padding(x).transpose(1, 2)).relu().transpose(1, 2)
        return self.w_2(frames.without_padding(self.dropout(hidden)).transpose(1, 2)).transpose(1, 2)


class PromptedLayer(nn.Module):
    """Half a feed-forward, attention to the frames, to the prompt, convolution, half a feed-forward, normalisation."""

    def __init__(self, shape: PromptedShape) -> None:
        super().__init__()
        dim = shape.dim
        self.norm_ff_macaron, self.feed_forward_macaron = layer_norm(dim), ConvFeedForward(shape)
        self.norm_mha, self.self_attn = layer_norm(dim), RelativeAttention(dim, shape.num_heads, shape.dropout)
        self.norm2, self.src_attn = layer_norm(dim), MultiHeadAttention(dim, shape.num_heads, shape.dropout)
        self.norm_conv = layer_norm(dim)
        self.conv_module = ConvolutionModule(dim, shape.kernel, "batch", causal=False)
        self.norm_ff, self.feed_forward = layer_norm(dim), ConvFeedForward(shape)
        self.norm_final = layer_norm(dim)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, context: Context, seen: Seen) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""
        frames = context.frames
        x = x + 0.5 * self.dropout(self.feed_forward_macaron(self.norm_ff_macaron(x), frames))
        x = x + self.dropout(self.self_attn(self.norm_mha(x), context))
        x = x + self.dropout(self.src_attn(self.norm2(x), seen.prompt, seen.hidden))
        x = x + self.dropout(self.conv_module(self.norm_conv(x), frames))
        x = x + 0.5 * self.dropout(self.feed_forward(self.norm_ff(x), frames))
        return self.norm_final(x)


class PromptedConformer(nn.Module):
    """Layers in turn and a normalisation behind the last.

    Args:
      in_dim: C of what is embedded first; 0: vectors are of the layers' dimension, and come as they are.
    """

    def __init__(self, shape: PromptedShape, in_dim: int) -> None:
        super().__init__()
        self.attention_frames = shape.attention_frames
        self.embed: Optional[nn.Sequential] = None
        if in_dim:
            self.embed = nn.Sequential(nn.Linear(in_dim, shape.dim), nn.LayerNorm(shape.dim), nn.Dropout(shape.dropout))
        self.positions = RelativePositions(shape.dim, shape.dropout)
        self.decoders = nn.ModuleList(PromptedLayer(shape) for _ in range(shape.num_layers))
        self.after_norm = layer_norm(shape.dim)

    def _hidden(self, frames: UtteranceFrames, device: torch.device) -> Optional[Tensor]:
        hidden = frames.hidden_sources
        if not self.attention_frames:
            return hidden
        places = torch.arange(frames.num_frames, device=device)
        far = ((places[:, None] - places).abs() > self.attention_frames).unsqueeze(0)
        return far if hidden is None else far | hidden

    def forward(self, x: Tensor, frames: UtteranceFrames, seen: Seen) -> Tensor:
        """States (N, T, D) of x (N, T, C), whose extents are `frames`."""
        x, offsets = self.positions.placed(x if self.embed is None else self.embed(x))
        context = Context(frames, self._hidden(frames, x.device), offsets)
        for layer in self.decoders:
            x = layer(x, context, seen)
        return self.after_norm(x)
