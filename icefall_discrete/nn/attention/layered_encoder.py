"""A row of equal layers of attention, with positions before them and a normalisation behind: what encoders share."""

import abc
from typing import Callable, Generic, Iterable, Sequence, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.attention.config import AttentionConfig
from icefall_discrete.nn.attention.dropout import Dropout
from icefall_discrete.nn.attention.feed_forward import FeedForward
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.attention.positions import RelativePositions
from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames

L = TypeVar("L", bound=nn.Module)


class LayeredEncoder(Encoder, Generic[L]):
    """Layers in turn and a normalisation behind the last.

    Args:
      config: the settings. layers: `config.num_layers` of them. normalised_inner: whether outputs of inner layers pass
        the last normalisation too.
    """

    def __init__(self, config: AttentionConfig, layers: Iterable[L], normalised_inner: bool) -> None:
        super().__init__()
        self.config = config
        self.layers = ModuleRow(layers)
        self.after_norm = layer_norm(config.dim)
        self.normalised_inner = normalised_inner

    def _encoded(
        self, x: Tensor, lens: Tensor, inner: Sequence[int], through: Callable[[L, Tensor], Tensor]
    ) -> EncoderOutput:
        """Lead x (N, T, dim) through the layers; `through` leads it through one."""
        outputs = {}
        for index, layer in enumerate(self.layers):
            x = through(layer, x)
            if index in inner:
                outputs[index] = self.after_norm(x) if self.normalised_inner else x
        return EncoderOutput(self.after_norm(x), lens, [(outputs[index], lens) for index in inner])


class MacaronLayer(nn.Module, abc.ABC):
    """Half a feed-forward, what a subclass puts in the middle, half a feed-forward, a normalisation.

    Conformer, https://arxiv.org/abs/2005.08100, section 2.4; each module works on normalised input.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        dim, dropout = config.dim, config.scheduled_dropout
        self.norm_ff_macaron = layer_norm(dim)
        self.feed_forward_macaron = FeedForward(dim, config.feedforward_dim, dropout, F.silu)
        self.norm_mha = layer_norm(dim)
        self.norm_ff = layer_norm(dim)
        self.feed_forward = FeedForward(dim, config.feedforward_dim, dropout, F.silu)
        self.norm_final = layer_norm(dim)
        self.dropout = Dropout(dropout)

    @abc.abstractmethod
    def _middle(self, x: Tensor, offsets: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, D) to (N, T, D), what was x included; the arguments are those of `forward`."""

    def forward(self, x: Tensor, offsets: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, D) to (N, T, D).

        Args:
          offsets: (2 T - 1, D), see RelativePositions. frames: the extents of x.
        """
        x = x + 0.5 * self.dropout(self.feed_forward_macaron(self.norm_ff_macaron(x)))
        x = self._middle(x, offsets, frames)
        x = x + 0.5 * self.dropout(self.feed_forward(self.norm_ff(x)))
        return self.norm_final(x)


class RelativeEncoder(LayeredEncoder[MacaronLayer]):
    """Layers whose attention sees relative positions; the arguments are those of LayeredEncoder."""

    def __init__(self, config: AttentionConfig, layers: Iterable[MacaronLayer], normalised_inner: bool) -> None:
        super().__init__(config, layers, normalised_inner)
        self.positions = RelativePositions(config.dim, config.positional_dropout)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode a padded batch x (N, T, dim) with lens (N,); `inner` are layers whose outputs are returned too."""
        frames = UtteranceFrames(lens, x.shape[1])
        x, offsets = self.positions(x)
        return self._encoded(x, lens, inner, lambda layer, vectors: layer(vectors, offsets, frames))
