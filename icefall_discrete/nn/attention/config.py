"""Settings that encoders of attention layers have in common."""

import dataclasses
from typing import Tuple

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EqualLayersConfig
from icefall_discrete.nn.scaling import Schedule


@dataclasses.dataclass(frozen=True)
class AttentionConfig(EqualLayersConfig):
    """Shape and dropout of a row of equal layers; its frames come out at the rate at which they came."""

    dim: int = setting(256, "dimension of the frames", minimum=2)
    num_layers: int = setting(12, "number of layers", minimum=1)
    num_heads: int = setting(4, "number of attention heads, which share the dimension", minimum=1)
    feedforward_dim: int = setting(1024, "hidden dimension of the feed-forward modules", minimum=1)
    dropout: Tuple[float, ...] = setting(
        (0.1,), "dropout rate: one number, or a schedule 'batch, rate, batch, rate, ...'", minimum=0
    )
    attention_dropout: float = setting(0.1, "dropout rate of the attention weights", minimum=0, maximum=0.99)
    positional_dropout: float = setting(0.1, "dropout rate behind the positions", minimum=0, maximum=0.99)
    causal: bool = setting(
        False, "whether convolutions see no later frame and attention no later chunk, as streaming needs"
    )
    chunk_size: Tuple[int, ...] = setting(
        (16, 32, 64, -1), "chunk sizes in frames, one drawn each batch if causal; -1 is no chunks", minimum=-1
    )
    left_context_frames: Tuple[int, ...] = setting(
        (64, 128, 256, -1), "left contexts of a chunk in frames, one drawn each batch; -1 is all", minimum=-1
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if 0 in self.chunk_size:
            raise ValueError(f"chunk_size is {list(self.chunk_size)}, expected numbers of frames, or -1 for no chunks.")
        if self.dim % (2 * self.num_heads):
            raise ValueError(
                f"dim is {self.dim} with {self.num_heads} heads; give a dim that twice the number of heads divides."
            )

    @property
    def scheduled_dropout(self) -> Schedule:
        """The setting `dropout`, as a module takes it."""
        return Schedule.from_flat(self.dropout)

    @property
    def input_dropout(self) -> float:
        """0: dropout follows the positions, within the encoder."""
        return 0.0
