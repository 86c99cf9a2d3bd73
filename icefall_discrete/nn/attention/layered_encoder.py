"""A row of equal layers of attention, with positions before them and a normalisation behind: what encoders share."""

import abc
from typing import Generic, Iterable, Sequence, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.adaptation import AdapterPlace
from icefall_discrete.nn.attention.config import AttentionConfig
from icefall_discrete.nn.attention.context import Context
from icefall_discrete.nn.attention.feed_forward import FeedForward
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.attention.positions import Positions
from icefall_discrete.nn.chunks import chunk_mask, draw_chunk
from icefall_discrete.nn.depthwise import FrameDepthwise
from icefall_discrete.nn.dropout import Dropout
from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames


class EncoderLayer(nn.Module, abc.ABC):
    """One of the equal layers."""

    @property
    @abc.abstractmethod
    def convolutions(self) -> Sequence[FrameDepthwise]:
        """Its convolutions over time, by their numbers in a Context."""

    @abc.abstractmethod
    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""


L = TypeVar("L", bound=EncoderLayer)


class LayeredEncoder(Encoder, Generic[L]):
    """Layers in turn and a normalisation behind the last.

    With `causal`, each batch draws a chunk size and a left context, so that one model serves offline and streaming.

    Args:
      config: the settings. layers: `config.num_layers` of them. positions: what goes before them.
      normalised_inner: whether outputs of inner layers pass the last normalisation too.
    """

    def __init__(
        self,
        config: AttentionConfig,
        layers: Iterable[L],
        positions: Positions,
        normalised_inner: bool,
    ) -> None:
        super().__init__()
        self.config = config
        self.layers = ModuleRow(layers)
        self.after_norm = layer_norm(config.dim)
        self.normalised_inner = normalised_inner
        self.positions = positions

    def _context(self, x: Tensor, lens: Tensor, offsets: Tensor) -> Context:
        """What all layers know of a padded batch x (N, T, dim) with lens (N,)."""
        frames = UtteranceFrames(lens, x.shape[1])
        hidden = frames.hidden_sources
        chunk_size, left_chunks = draw_chunk(self.config, self.training)
        if chunk_size > 0:
            chunks = chunk_mask(x.shape[1], chunk_size, left_chunks, x.device).unsqueeze(0)
            hidden = chunks if hidden is None else hidden | chunks
        return Context(frames, hidden, offsets)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode a padded batch x (N, T, dim) with lens (N,); `inner` are layers whose outputs are returned too."""
        x, offsets = self.positions.placed(x)
        context = self._context(x, lens, offsets)
        outputs = {}
        for index, layer in enumerate(self.layers):
            x = layer(x, context)
            if index in inner:
                outputs[index] = self.after_norm(x) if self.normalised_inner else x
        return EncoderOutput(self.after_norm(x), lens, [(outputs[index], lens) for index in inner])


class MacaronLayer(EncoderLayer):
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
        self.adapter_middle, self.adapter_out = AdapterPlace(dim), AdapterPlace(dim)

    @abc.abstractmethod
    def _middle(self, x: Tensor, context: Context) -> Tensor:
        """Map x (N, T, D) to (N, T, D), what was x included."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""
        x = x + 0.5 * self.dropout(self.feed_forward_macaron(self.norm_ff_macaron(x)))
        x = self.adapter_middle(self._middle(x, context))
        x = x + 0.5 * self.dropout(self.feed_forward(self.norm_ff(x)))
        return self.adapter_out(self.norm_final(x))
