"""The layers of a decoder-only transformer, for whole sequences or step by step with keys and values kept.

Letters: N sequences, T new steps, J steps that are seen, H heads, D dimension.
"""

from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.decoder.attention import attended, sight
from icefall_discrete.nn.decoder.config import DecoderConfig
from icefall_discrete.nn.decoder.rotary import angles, rotated
from icefall_discrete.nn.module_row import ModuleRow

_INIT = 0.02
_FIRST_ROOM = 64


class RmsNorm(nn.Module):
    """Each step divided by the root mean square of its D values, times learned weights; in 32 bits within."""

    def __init__(self, dim: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., D) to (..., D)."""
        wide = x.float()
        return self.weight * (wide * (wide.square().mean(dim=-1, keepdim=True) + self.epsilon).rsqrt()).to(x.dtype)


def build_norm(config: DecoderConfig) -> nn.Module:
    """The norm that the settings ask for."""
    kind = RmsNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.dim, config.norm_epsilon)


class Cache:
    """Keys and values of the steps so far, of each layer; it grows by doubling."""

    def __init__(self) -> None:
        self.num_steps = 0
        self._kept: List[Tuple[Tensor, Tensor]] = []

    def appended(self, layer: int, key: Tensor, value: Tensor) -> Tuple[Tensor, Tensor]:
        """Keys and values (N, H, J, D/H) of a layer with those of new steps (N, H, T, D/H) behind them."""
        end = self.num_steps + key.shape[2]
        if layer == len(self._kept):
            self._kept.append((key[:, :, :0], value[:, :, :0]))
        if self._kept[layer][0].shape[2] < end:
            room = max(2 * end, _FIRST_ROOM)
            self._kept[layer] = _grown(self._kept[layer][0], room), _grown(self._kept[layer][1], room)
        keys, values = self._kept[layer]
        keys[:, :, self.num_steps : end], values[:, :, self.num_steps : end] = key, value
        return keys[:, :, :end], values[:, :, :end]


def _grown(kept: Tensor, room: int) -> Tensor:
    return F.pad(kept, (0, 0, 0, room - kept.shape[2]))


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each with a norm before it and a residual around it."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        dim, hidden, key_dim = config.dim, config.hidden_dim, config.key_heads * config.head_dim
        inner, outer = config.bias != "none", config.bias == "all"
        self.norm_attention, self.norm_feedforward = build_norm(config), build_norm(config)
        self.query = nn.Linear(dim, dim, inner)
        self.key, self.value = nn.Linear(dim, key_dim, inner), nn.Linear(dim, key_dim, inner)
        self.out = nn.Linear(dim, dim, outer)
        self.expand, self.contract = nn.Linear(dim, hidden, outer), nn.Linear(hidden, dim, outer)
        self.gate: Optional[nn.Linear] = nn.Linear(dim, hidden, outer) if config.activation == "swiglu" else None
        self.dropout = nn.Dropout(config.dropout)

    def project(self, x: Tensor, turn: Optional[Tuple[Tensor, Tensor]]) -> Tuple[Tensor, Tensor, Tensor]:
        """Queries (N, H, T, D/H), and keys and values of as many heads as they have, of x (N, T, D)."""
        x = self.norm_attention(x)
        query, key, value = (
            part(x).unflatten(2, (heads, self.config.head_dim)).transpose(1, 2)
            for part, heads in (
                (self.query, self.config.num_heads),
                (self.key, self.config.key_heads),
                (self.value, self.config.key_heads),
            )
        )
        return (query, key, value) if turn is None else (rotated(query, *turn), rotated(key, *turn), value)

    def forward(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, seen: Optional[Tensor]) -> Tensor:
        """The layer's output (N, T, D) from its input x (N, T, D) and what `project` made of it, keys kept before."""
        each = self.config.num_heads // self.config.key_heads
        if each > 1:
            key, value = key.repeat_interleave(each, dim=1), value.repeat_interleave(each, dim=1)
        dropout = self.config.attention_dropout if self.training else 0.0
        found = attended(query, key, value, seen, dropout).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(found))
        inner = self.norm_feedforward(x)
        hidden = self.expand(inner)
        hidden = F.gelu(hidden, approximate="tanh") if self.gate is None else F.silu(self.gate(inner)) * hidden
        return x + self.dropout(self.contract(hidden))


class Decoder(nn.Module):
    """Layers over vectors of steps.

    Weights begin as GPT-2's: normal with deviation 0.02, smaller by the root of twice the layers where they end in the
    residual.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.places: Optional[nn.Embedding] = None
        if config.positions == "learned":
            self.places = nn.Embedding(config.context, config.dim)
            nn.init.normal_(self.places.weight, std=_INIT)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = ModuleRow(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = build_norm(config)
        for layer in self.layers:
            for part in layer.modules():
                if isinstance(part, nn.Linear):
                    ends = part in (layer.out, layer.contract)
                    nn.init.normal_(part.weight, std=_INIT / (2 * config.num_layers) ** 0.5 if ends else _INIT)
                    if part.bias is not None:
                        nn.init.zeros_(part.bias)

    def forward(self, x: Tensor, cache: Optional[Cache] = None, starts: Optional[Tensor] = None) -> Tensor:
        """What each step knows, (N, T, D).

        Padding behind a sequence reaches none of its steps; before it, `starts` says where it ends.

        Args:
          x: (N, T, D), vectors of steps, behind those that `cache` has seen, and has with them afterwards.
          starts: (N,), where each sequence begins; None: all at 0.
        Raises:
          ValueError: with learned positions, for more steps than there are.
        """
        before, num_new = (0 if cache is None else cache.num_steps), x.shape[1]
        place = torch.arange(before, before + num_new, device=x.device).unsqueeze(0)
        if starts is not None:
            place = (place - starts.to(x.device).unsqueeze(1)).clamp(min=0)
        turn = None
        if self.places is None:
            turn = angles(place, self.config.head_dim, self.config.rotary_base)
        else:
            x = x + self.places(self._within(place))
        x, seen = self.dropout(x), sight(num_new, before, self.config.context, starts, x)
        for number, layer in enumerate(self.layers):
            query, key, value = layer.project(x, turn)
            if cache is not None:
                key, value = cache.appended(number, key, value)
            x = layer(x, query, key, value, seen)
        if cache is not None:
            cache.num_steps += num_new
        return self.norm(x)

    def _within(self, place: Tensor) -> Tensor:
        longest = int(place.max()) + 1
        if longest > self.config.context:
            raise ValueError(
                f"a sequence has {longest} steps, but the learned positions end at {self.config.context} "
                "(--model.decoder.context); give shorter ones, or train with --positions rotary."
            )
        return place
