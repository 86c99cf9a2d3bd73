"""One Conformer layer."""

from typing import Sequence

from torch import Tensor

from icefall_discrete.nn.attention.context import Context
from icefall_discrete.nn.attention.layered_encoder import MacaronLayer
from icefall_discrete.nn.attention.multi_head import RelativeAttention
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.depthwise import FrameDepthwise
from icefall_discrete.nn.encoders.conformer.config import ConformerConfig
from icefall_discrete.nn.encoders.conformer.convolution import ConvolutionModule


class ConformerLayer(MacaronLayer):
    """Attention, then convolution, between two halves of a feed-forward; as in ESPnet."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__(config)
        self.self_attn = RelativeAttention(config.dim, config.num_heads, config.attention_dropout)
        self.norm_conv = layer_norm(config.dim)
        self.conv_module = ConvolutionModule(
            config.dim, config.cnn_module_kernel, config.cnn_module_norm, config.causal
        )

    @property
    def convolutions(self) -> Sequence[FrameDepthwise]:
        """That of the convolution module."""
        return (self.conv_module.depthwise_conv,)

    def _middle(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.dropout(self.self_attn(self.norm_mha(x), context))
        return x + self.dropout(self.conv_module(self.norm_conv(x), context.frames, context.before(0)))
