"""One E-Branchformer layer."""

from typing import Sequence

import torch
from torch import Tensor, nn

from icefall_discrete.nn.attention.context import Context
from icefall_discrete.nn.attention.layered_encoder import MacaronLayer
from icefall_discrete.nn.attention.multi_head import RelativeAttention
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.depthwise import FrameDepthwise
from icefall_discrete.nn.encoders.e_branchformer.config import EBranchformerConfig
from icefall_discrete.nn.encoders.e_branchformer.gated_mlp import GatedMlp


class EBranchformerLayer(MacaronLayer):
    """Attention and gated MLP side by side, merged by a convolution over both, between two halves of a feed-forward.

    E-Branchformer, https://arxiv.org/abs/2210.00077, Figure 2, as in ESPnet's recipes.
    """

    def __init__(self, config: EBranchformerConfig) -> None:
        super().__init__(config)
        dim = config.dim
        self.attn = RelativeAttention(dim, config.num_heads, config.attention_dropout)
        self.norm_mlp = layer_norm(dim)
        self.cgmlp = GatedMlp(dim, config.cgmlp_dim, config.cgmlp_kernel, config.scheduled_dropout, config.causal)
        self.depthwise_conv_fusion = FrameDepthwise(2 * dim, config.merge_kernel, config.causal)
        self.merge_proj = nn.Linear(2 * dim, dim)

    @property
    def convolutions(self) -> Sequence[FrameDepthwise]:
        """That of the gate, and that which merges the branches."""
        return (self.cgmlp.csgu.conv, self.depthwise_conv_fusion)

    def _middle(self, x: Tensor, context: Context) -> Tensor:
        attended = self.dropout(self.attn(self.norm_mha(x), context))
        gated = self.dropout(self.cgmlp(self.norm_mlp(x), context.frames, context.before(0)))
        both = context.frames.without_padding(torch.cat((attended, gated), dim=2))
        return x + self.dropout(self.merge_proj(both + self.depthwise_conv_fusion(both, context.before(1))))
