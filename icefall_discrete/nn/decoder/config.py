"""The shape of a decoder-only transformer: LLaMA's by default, GPT-2's and Qwen2's by its settings."""

import dataclasses
from typing import Optional

from icefall_discrete.base.settings import check_settings, setting

NORMS = ("rms", "layer")
ACTIVATIONS = ("swiglu", "gelu")
POSITIONS = ("rotary", "learned")
BIASES = ("none", "attention", "all")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Layers with a norm before each part and a last one behind all.

    LLaMA (https://arxiv.org/abs/2302.13971) has rms, swiglu, rotary and no bias, Qwen2 biases of queries, keys and
    values besides; GPT-2 has layer, gelu, learned and all biases.
    """

    dim: int = setting(256, "dimension D of the layers", minimum=1)
    num_layers: int = setting(6, "layers", minimum=1)
    num_heads: int = setting(4, "attention heads", minimum=1)
    num_key_heads: int = setting(0, "heads of keys and values, each for several of queries; 0: num_heads", minimum=0)
    feedforward_dim: int = setting(0, "hidden dimension of feed-forward layers; 0: 4 D", minimum=0)
    norm: str = setting("rms", "normalisation: by the root mean square, or LayerNorm", choices=NORMS)
    norm_epsilon: float = setting(1e-5, "added to the mean square, or to the variance", above=0)
    activation: str = setting("swiglu", "of feed-forward layers: swiglu, with a gate, or gelu", choices=ACTIVATIONS)
    positions: str = setting(
        "rotary", "how places are told: by turning queries and keys, or by a learned vector each", choices=POSITIONS
    )
    rotary_base: float = setting(10000.0, "rotary: the longest wave is 2 pi times that", above=1)
    bias: str = setting("none", "linear layers with biases: those of queries, keys, values, or all", choices=BIASES)
    context: int = setting(
        2048,
        "steps that a layer looks back on, its own included; with learned positions the longest sequence",
        minimum=1,
    )
    dropout: float = setting(0.1, "dropout rate of the input and of each part of a layer", minimum=0, maximum=0.99)
    attention_dropout: float = setting(0.0, "dropout rate of attention weights", minimum=0, maximum=0.99)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.dim % self.num_heads or (self.dim // self.num_heads) % 2:
            raise ValueError(f"dim is {self.dim}, expected an even multiple of num_heads, {self.num_heads}.")
        if self.num_heads % self.key_heads:
            raise ValueError(f"num_heads is {self.num_heads}, expected a multiple of num_key_heads, {self.key_heads}.")

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_heads or self.num_heads

    @property
    def head_dim(self) -> int:
        """Dimension of a head."""
        return self.dim // self.num_heads

    @property
    def most_steps(self) -> Optional[int]:
        """Steps of the longest sequence; None: any."""
        return self.context if self.positions == "learned" else None

    @property
    def hidden_dim(self) -> int:
        """Hidden dimension of feed-forward layers."""
        return self.feedforward_dim or 4 * self.dim
