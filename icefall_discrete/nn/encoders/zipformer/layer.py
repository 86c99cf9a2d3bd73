"""One Zipformer layer."""

import random
from typing import Optional

import torch
from torch import Tensor, nn

from icefall_discrete.nn.adaptation import AdapterPlace
from icefall_discrete.nn.encoders.zipformer.attention import (
    AttentionWeights,
    NonlinAttention,
    SelfAttention,
    uniform_weights,
)
from icefall_discrete.nn.encoders.zipformer.config import StackConfig
from icefall_discrete.nn.encoders.zipformer.convolution import ConvolutionModule
from icefall_discrete.nn.encoders.zipformer.feed_forward import FeedForward
from icefall_discrete.nn.encoders.zipformer.masks import StackMasks
from icefall_discrete.nn.encoders.zipformer.state import LayerState
from icefall_discrete.nn.scaling import Balancer, BiasNorm, Bypass, Schedule, Scheduled, Whiten
from icefall_discrete.nn.scaling.limits import kept_of
from icefall_discrete.nn.scaling.whiten import whitening_limit
from icefall_discrete.nn.stream_state import Past

# Their outputs only seldom leave their range, so a small share of the steps is enough.
RARE = 0.05
_WHOLE_UTTERANCES = LayerState()


def _draw_keep(x: Tensor, rate: float) -> Optional[Tensor]:
    """Mask (N, 1, 1) that drops whole utterances with probability `rate`, or None."""
    if rate <= 0.0:
        return None
    return kept_of((x.shape[0], 1, 1), rate, x.device).to(x.dtype)


def _add(x: Tensor, update: Tensor, keep: Optional[Tensor]) -> Tensor:
    return x + update if keep is None else torch.addcmul(x, update, keep.to(update.dtype))


class ZipformerLayer(nn.Module):
    """Attention weights once; feed-forward, gated attention, attention, convolution, and most of them again.

    Zipformer, https://arxiv.org/abs/2310.11230, section 3.2 and Figure 2. In training whole modules are skipped for
    some utterances, with rates that fall as training goes on.
    """

    def __init__(self, config: StackConfig, layer_skip_rate: Scheduled) -> None:
        super().__init__()
        dim, heads, hidden = config.encoder_dim, config.num_heads, config.feedforward_dim
        dropout = Schedule.from_flat(config.dropout)
        self.attention_weights = AttentionWeights(
            dim, config.pos_dim, heads, config.query_head_dim, config.pos_head_dim
        )
        self.self_attention1 = SelfAttention(dim, heads, config.value_head_dim)
        self.self_attention2 = SelfAttention(dim, heads, config.value_head_dim)
        self.nonlin_attention = NonlinAttention(dim, 3 * dim // 4)
        self.feed_forward1 = FeedForward(dim, hidden * 3 // 4, dropout)
        self.feed_forward2 = FeedForward(dim, hidden, dropout)
        self.feed_forward3 = FeedForward(dim, hidden * 5 // 4, dropout)
        self.convolution1 = ConvolutionModule(dim, config.cnn_module_kernel, config.causal)
        self.convolution2 = ConvolutionModule(dim, config.cnn_module_kernel, config.causal)
        self.bypass_middle = Bypass(dim)
        self.bypass = Bypass(dim, layer_skip_rate)
        self.norm = BiasNorm(dim)
        self.adapter_attention, self.adapter_middle = AdapterPlace(dim), AdapterPlace(dim)
        self.adapter_convolution, self.adapter_out = AdapterPlace(dim), AdapterPlace(dim)
        self._set_schedules()

    def _set_schedules(self) -> None:
        self.attention_skip_rate = Schedule((0.0, 0.2), (4000.0, 0.05), (16000.0, 0.0))
        self.convolution_skip_rate = Schedule((0.0, 0.2), (4000.0, 0.05), (16000.0, 0.0))
        self.feed_forward_skip_rate = Schedule((0.0, 0.1), (4000.0, 0.01), (50000.0, 0.0))
        self.uniform_attention_rate = Schedule((0.0, 0.25), (4000.0, 0.025))
        middle = (0.3, 0.7)
        low = Schedule((0.0, 0.004), (4000.0, 0.02))
        self.balancer_nonlin = Balancer(positive=middle, abs_value=(low, 100.0), prob=RARE)
        low = Schedule((0.0, 0.0), (4000.0, 0.1))
        self.balancer_feed_forward2 = Balancer(positive=middle, abs_value=(low, 2.0), prob=RARE)
        low = Schedule((0.0, 0.0), (4000.0, 0.2))
        self.balancer_feed_forward3 = Balancer(positive=middle, abs_value=(low, 4.0), prob=RARE)
        self.balancer_norm = Balancer(positive=(0.45, 0.55), abs_value=(0.2, 4.0))
        self.balancer_out = Balancer(positive=(0.45, 0.55), abs_value=(0.1, 4.0))
        self.whiten = Whiten(whitening_limit(4.0, ratio=3.0))

    def _keep(self, x: Tensor, rate: Schedule) -> Optional[Tensor]:
        return _draw_keep(x, float(rate)) if self.training else None

    def forward(self, x: Tensor, positions: Tensor, masks: StackMasks, state: LayerState = _WHOLE_UTTERANCES) -> Tensor:
        """Map x (N, T, D) to (N, T, D).

        Args:
          positions: (L + 2 T - 1, pos_dim) relative positional encodings; L = 0 without a past.
          masks: padding and chunk masks at the frame rate of x.
          state: in streaming, the past of the layer; brought up to date.
        """
        origin = x
        weights, first = self.attention_weights(x, positions, masks.attention, state.keys)
        if self.training and random.random() < float(self.uniform_attention_rate):
            first = uniform_weights(first)
        keep = self._keep(x, self.attention_skip_rate)

        x = x + self.feed_forward1(x)
        x = _add(x, self.balancer_nonlin(self.nonlin_attention(x, first, state.gated_values)), keep)
        x = self.adapter_attention(_add(x, self.self_attention1(x, weights, state.values1), keep))
        x = self._convolve(self.convolution1, x, masks, state.conv1)
        update = self.balancer_feed_forward2(self.feed_forward2(x))
        x = _add(x, update, self._keep(x, self.feed_forward_skip_rate))
        x = self.adapter_middle(self.bypass_middle(origin, x))

        x = _add(x, self.self_attention2(x, weights, state.values2), keep)
        x = self.adapter_convolution(self._convolve(self.convolution2, x, masks, state.conv2))
        update = self.balancer_feed_forward3(self.feed_forward3(x))
        x = _add(x, update, self._keep(x, self.feed_forward_skip_rate))
        x = self.norm(self.balancer_norm(x))
        return self.adapter_out(self.whiten(self.balancer_out(self.bypass(origin, x))))

    def _convolve(self, module: ConvolutionModule, x: Tensor, masks: StackMasks, past: Optional[Past]) -> Tensor:
        update = module(x, masks, past)
        return _add(x, update, self._keep(x, self.convolution_skip_rate))
