"""The attention decoder: a transformer that writes labels one after the other and looks at all encoder frames.

Attention Is All You Need, https://arxiv.org/abs/1706.03762, with layer norm before each part, as ESPnet has it. Labels
begin after, and end in, one unit of the vocabulary that no text has (sos = eos).

Letters: N utterances, T' encoder frames, M rows of labels, several of which may belong to one utterance, U labels,
V units, D the decoder's dimension, L layers.
"""

import dataclasses
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.attention.multi_head import MultiHeadAttention
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.attention.positions import sinusoids
from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.lengths import padding_mask
from icefall_discrete.nn.module_row import ModuleRow

_ACTIVATIONS: Dict[str, Callable[[Tensor], Tensor]] = {"swish": F.silu, "relu": F.relu}
_LABELS_AT_ONCE = 4096  # scored in one pass of the network; bounds the memory


@dataclasses.dataclass(frozen=True)
class AttentionDecoderConfig:
    """Shape of the attention decoder; defaults are icefall's. ESPnet's are dim 256, 4 heads and relu."""

    attention_decoder_dim: int = setting(512, "dimension of the attention decoder, even", minimum=2)
    attention_decoder_num_layers: int = setting(6, "layers of the attention decoder", minimum=1)
    attention_decoder_num_heads: int = setting(8, "heads of each of its attentions", minimum=1)
    attention_decoder_feedforward_dim: int = setting(2048, "inner dimension of its feed-forward networks", minimum=1)
    attention_decoder_activation: str = setting("swish", "between their layers", choices=tuple(_ACTIVATIONS))
    attention_decoder_dropout: float = setting(
        0.1, "dropout of its embedding, attentions and feed-forward networks", minimum=0, maximum=1
    )

    def __post_init__(self) -> None:
        check_settings(self)
        dim, heads = self.attention_decoder_dim, self.attention_decoder_num_heads
        if dim % 2 or dim % heads:
            raise ValueError(
                f"attention_decoder_dim is {dim}, expected an even multiple of attention_decoder_num_heads, {heads}."
            )


@dataclasses.dataclass(frozen=True)
class Memory:
    """What the layers look at: keys and values (N, T', D) of encoder frames, and (N, 1, T') which are none, or None."""

    keys: List[Tensor]
    values: List[Tensor]
    hidden: Optional[Tensor]

    def at(self, utterances: Tensor) -> "Memory":
        """Some of the utterances, (N',) indexes."""
        hidden = None if self.hidden is None else self.hidden[utterances]
        return Memory([x[utterances] for x in self.keys], [x[utterances] for x in self.values], hidden)


class _Slots(NamedTuple):
    """Rows that belong to N utterances, as `size` slots of each: row m is slot `slots[m]` of `utterances[m]`."""

    utterances: Tensor
    slots: Tensor
    size: int
    num: int

    @classmethod
    def of(cls, utterances: Tensor, num: int) -> "_Slots":
        """Slots in the order of the rows, for `utterances` (M,) of `num` utterances."""
        mine = utterances.unsqueeze(1) == torch.arange(num, device=utterances.device)
        slots = mine.cumsum(dim=0).gather(1, utterances.unsqueeze(1)).squeeze(1) - 1
        return cls(utterances, slots, int(mine.sum(dim=0).max()), num)

    def spread(self, x: Tensor) -> Tensor:
        """Rows (M, Q, D) as (N, size * Q, D); what belongs to no row is 0."""
        spread = x.new_zeros(self.num, self.size, *x.shape[1:])
        spread[self.utterances, self.slots] = x
        return spread.flatten(1, 2)

    def collected(self, x: Tensor) -> Tensor:
        """The rows (M, Q, D) of (N, size * Q, D)."""
        return x.view(self.num, self.size, -1, x.size(2))[self.utterances, self.slots]


class DecoderLayer(nn.Module):
    """Attention to earlier labels, attention to encoder frames, and a feed-forward network.

    Each has layer norm before it and a residual around it.
    """

    def __init__(self, config: AttentionDecoderConfig, encoder_dim: int) -> None:
        super().__init__()
        dim, self.dropout = config.attention_decoder_dim, config.attention_decoder_dropout
        heads, inner = config.attention_decoder_num_heads, config.attention_decoder_feedforward_dim
        self.activation = _ACTIVATIONS[config.attention_decoder_activation]
        self.norm_self, self.norm_source, self.norm_feedforward = (layer_norm(dim) for _ in range(3))
        self.self_attention = MultiHeadAttention(dim, heads, self.dropout)
        self.source_attention = MultiHeadAttention(dim, heads, self.dropout, encoder_dim)
        self.expand, self.contract = nn.Linear(dim, inner), nn.Linear(inner, dim)

    def look_back(self, x: Tensor, earlier: Optional[Tensor]) -> Tensor:
        """Add attention to labels, (M, Q, D).

        Args:
          x: (M, Q, D). earlier: None where x is of all labels; else (M, 2, U, D), keys and values of all, in which the
            last place is free for those of x, Q = 1, and is filled here.
        """
        normal = self.norm_self(x)
        keys, values = self.self_attention.keys_and_values(normal)
        later = None
        if earlier is None:
            later = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).triu(1).unsqueeze(0)
        else:
            earlier[:, 0, -1:], earlier[:, 1, -1:] = keys, values
            keys, values = earlier.unbind(1)
        return x + self._dropped(self.self_attention.look(normal, keys, values, later))

    def look_at_source(self, x: Tensor, memory: Memory, layer: int, slots: Optional[_Slots]) -> Tensor:
        """Add attention to the encoder frames in `memory` (as this layer's number `layer`); slots: None: M = N."""
        normal = self.norm_source(x)
        query = normal if slots is None else slots.spread(normal)
        seen = self.source_attention.look(query, memory.keys[layer], memory.values[layer], memory.hidden)
        return x + self._dropped(seen if slots is None else slots.collected(seen))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Add the feed-forward network."""
        inner = self._dropped(self.activation(self.expand(self.norm_feedforward(x))))
        return x + self._dropped(self.contract(inner))

    def _dropped(self, x: Tensor) -> Tensor:
        return dropped(x, self.dropout, self.training)


class AttentionDecoder(nn.Module):
    """Embedding and sinusoids of absolute positions, layers, layer norm, and a linear map to V units.

    Args:
      config: its shape. encoder_dim: of encoder frames. vocab_size: V. eos_id: the unit before the first label and
        after the last.
    """

    def __init__(self, config: AttentionDecoderConfig, encoder_dim: int, vocab_size: int, eos_id: int) -> None:
        super().__init__()
        dim, self.eos_id = config.attention_decoder_dim, eos_id
        self.config, self.vocab_size = config, vocab_size
        self.embedding = nn.Embedding(vocab_size, dim)
        # With it, embeddings and positions are of one size at the beginning.
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        layers = config.attention_decoder_num_layers
        self.layers = ModuleRow(DecoderLayer(config, encoder_dim) for _ in range(layers))
        self.norm = layer_norm(dim)
        self.output = nn.Linear(dim, vocab_size)

    def forward(self, encoder_out: Tensor, lens: Tensor, labels: Tensor) -> Tensor:
        """Logits (N, U + 1, V) of each label, and of what follows the last, given those before it.

        Args:
          encoder_out: (N, T', D'). lens: (N,). labels: (N, U), padded with any unit.
        """
        return self._logits(self.start(encoder_out, lens), labels, None)

    def score(
        self, encoder_out: Tensor, lens: Tensor, labels: Tensor, label_lens: Tensor, utterances: Optional[Tensor] = None
    ) -> Tensor:
        """Log-probabilities (M, U + 1), in nats, of each label and of the end behind the last; 0 behind that.

        Args:
          encoder_out: (N, T', D'). lens: (N,). labels: (M, U). label_lens: (M,).
          utterances: (M,) to which encoder output each row belongs; None: M = N, in order.
        """
        memory = self.start(encoder_out, lens)
        if utterances is None:
            utterances = torch.arange(len(labels), device=labels.device)
        labels, targets = self.inputs_and_targets(labels, label_lens)
        if not len(labels):
            return encoder_out.new_zeros(targets.shape)
        parts = []
        for rows in torch.arange(len(labels), device=labels.device).split(max(1, _LABELS_AT_ONCE // targets.size(1))):
            used, among_used = utterances[rows].unique(return_inverse=True)
            logits = self._logits(memory.at(used), labels[rows], _Slots.of(among_used, len(used)))
            parts.append(-F.cross_entropy(logits.float().transpose(1, 2), targets[rows], reduction="none"))
        behind = torch.arange(targets.size(1), device=labels.device) > label_lens.unsqueeze(1)
        return torch.cat(parts).masked_fill(behind, 0.0)

    def inputs_and_targets(self, labels: Tensor, label_lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Labels (M, U) of lengths (M,) as input, and what is to be said (M, U + 1): they, then the end."""
        places = torch.arange(labels.size(1) + 1, device=labels.device)
        targets = F.pad(labels.to(torch.int64), (0, 1)).masked_fill(places >= label_lens.unsqueeze(1), self.eos_id)
        return targets[:, :-1], targets

    def start(self, encoder_out: Tensor, lens: Tensor) -> Memory:
        """What all layers need of encoder frames (N, T', D') with lens (N,)."""
        mask = padding_mask(lens, encoder_out.size(1))
        seen = [layer.source_attention.keys_and_values(encoder_out) for layer in self.layers]
        keys, values = ([pair[place] for pair in seen] for place in (0, 1))
        return Memory(keys, values, None if mask is None else mask.unsqueeze(1))

    def no_labels(self, num: int, device: torch.device) -> Tensor:
        """The keys and values (num, L, 2, 0, D) of rows that have no label yet, not even the one before the first."""
        shape = (num, len(self.layers), 2, 0, self.config.attention_decoder_dim)
        return torch.empty(shape, dtype=self.output.weight.dtype, device=device)

    @torch.no_grad()
    def advance(self, memory: Memory, utterances: Tensor, earlier: Tensor, units: Tensor) -> Tuple[Tensor, Tensor]:
        """Append a unit to each row; gives what `forward` gives in evaluation, to rounding.

        Args:
          memory: of N utterances. utterances: (M,) from 0. earlier: (M, L, 2, U, D), keys and values of `no_labels`, or
            of an earlier call; rows may be left out, repeated and reordered. units: (M,), `eos_id` at first.

        Returns:
          keys and values (M, L, 2, U + 1, D), and log-probabilities (M, V) of what follows.
        """
        slots = _Slots.of(utterances, len(memory.keys[0])) if len(units) else None
        memory = memory if slots is not None else memory.at(utterances)
        earlier = F.pad(earlier, (0, 0, 0, 1))
        x = self._embedded(units.unsqueeze(1), earlier.size(3) - 1)
        for number, layer in enumerate(self.layers):
            x = layer.look_back(x, earlier[:, number])
            x = layer.feed_forward(layer.look_at_source(x, memory, number, slots))
        return earlier, self.output(self.norm(x.squeeze(1))).float().log_softmax(dim=1)

    def _logits(self, memory: Memory, labels: Tensor, slots: Optional[_Slots]) -> Tensor:
        x = self._embedded(F.pad(labels, (1, 0), value=self.eos_id), 0)
        for number, layer in enumerate(self.layers):
            x = layer.look_back(x, None)
            x = layer.feed_forward(layer.look_at_source(x, memory, number, slots))
        return self.output(self.norm(x))

    def _embedded(self, units: Tensor, first: int) -> Tensor:
        """Vectors (M, Q, D) of units (M, Q), of which the first stands at place `first`."""
        dim = self.config.attention_decoder_dim
        places = sinusoids(torch.arange(first, first + units.size(1)), dim).to(units.device)
        return dropped(self.embedding(units) * dim**0.5 + places, self.config.attention_decoder_dropout, self.training)
