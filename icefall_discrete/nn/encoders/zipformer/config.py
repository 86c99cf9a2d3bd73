"""Settings of the Zipformer encoder, under the names that icefall's users know."""

import dataclasses
from typing import ClassVar, Tuple

from icefall_discrete.base.settings import check_settings, require_odd, setting
from icefall_discrete.nn.encoders.contract import EncoderConfig
from icefall_discrete.nn.scaling import Schedule

PER_STACK = (
    "encoder_dim",
    "num_encoder_layers",
    "encoder_unmasked_dim",
    "query_head_dim",
    "pos_head_dim",
    "value_head_dim",
    "num_heads",
    "feedforward_dim",
    "cnn_module_kernel",
)


@dataclasses.dataclass(frozen=True)
class StackConfig:
    """The settings of one stack of layers."""

    downsampling_factor: int
    encoder_dim: int
    num_encoder_layers: int
    encoder_unmasked_dim: int
    query_head_dim: int
    pos_head_dim: int
    value_head_dim: int
    num_heads: int
    feedforward_dim: int
    cnn_module_kernel: int
    pos_dim: int
    dropout: Tuple[float, ...]
    causal: bool


@dataclasses.dataclass(frozen=True)
class ZipformerConfig(EncoderConfig):
    """Shape and schedules of the Zipformer encoder; one value for each stack, or one for all."""

    # A plain mean of neighbours at first: an encoder that was trained at its full rate can be tuned at half of it.
    may_begin_anew: ClassVar[Tuple[str, ...]] = ("output_downsample",)
    downsampling_factor: Tuple[int, ...] = setting(
        (1, 2, 4, 8, 4, 2), "downsampling of each stack against its input", minimum=1
    )
    encoder_dim: Tuple[int, ...] = setting(
        (192, 256, 384, 512, 384, 256), "embedding dimension of each stack", minimum=1
    )
    num_encoder_layers: Tuple[int, ...] = setting((2, 2, 3, 4, 3, 2), "number of layers of each stack", minimum=1)
    encoder_unmasked_dim: Tuple[int, ...] = setting(
        (192, 192, 256, 256, 256, 192), "dimensions of each stack that feature masks never reach in training", minimum=1
    )
    query_head_dim: Tuple[int, ...] = setting((32,), "query and key dimension of a head, each stack", minimum=1)
    pos_head_dim: Tuple[int, ...] = setting((4,), "positional query dimension of a head, each stack", minimum=1)
    value_head_dim: Tuple[int, ...] = setting((12,), "value dimension of a head, each stack", minimum=1)
    num_heads: Tuple[int, ...] = setting((4, 4, 4, 8, 4, 4), "number of attention heads of each stack", minimum=1)
    feedforward_dim: Tuple[int, ...] = setting(
        (512, 768, 1024, 1536, 1024, 768), "hidden dimension of the second feed-forward module of each stack", minimum=1
    )
    cnn_module_kernel: Tuple[int, ...] = setting(
        (31, 31, 15, 15, 15, 31), "odd convolution kernel of each stack", minimum=1
    )
    pos_dim: int = setting(48, "dimension of the relative positional encoding", minimum=1)
    dropout: Tuple[float, ...] = setting(
        (0.0, 0.3, 20000.0, 0.1), "dropout rate: one number, or a schedule 'batch, rate, batch, rate, ...'", minimum=0
    )
    warmup_batches: float = setting(
        4000.0, "batches over which the stacks, one after the other, stop being skipped", above=0
    )
    causal: bool = setting(False, "whether convolutions are causal by chunks, as streaming needs")
    chunk_size: Tuple[int, ...] = setting(
        (16, 32, 64, -1),
        "chunk sizes in encoder input frames, one drawn each batch if causal; -1 is no chunks",
        minimum=-1,
    )
    left_context_frames: Tuple[int, ...] = setting(
        (64, 128, 256, -1),
        "left contexts of a chunk in encoder input frames, one drawn each batch; -1 is all",
        minimum=-1,
    )
    output_downsampling_factor: int = setting(2, "downsampling at the output: 2 as in icefall, 1 for none", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        num_stacks = len(self.downsampling_factor)
        for name in PER_STACK:
            values = getattr(self, name)
            if len(values) not in (1, num_stacks):
                raise ValueError(
                    f"{name} has {len(values)} values {values}, but downsampling_factor has {num_stacks}; "
                    "give one value for each stack, or a single one."
                )
        for unmasked, dim in zip(self.stack_values("encoder_unmasked_dim"), self.stack_values("encoder_dim")):
            if unmasked > dim:
                raise ValueError(f"encoder_unmasked_dim {unmasked} exceeds encoder_dim {dim}; it must not.")
        require_odd(self, "cnn_module_kernel")

    def stack_values(self, name: str) -> Tuple[int, ...]:
        """Return setting `name` with one value for each stack."""
        values = getattr(self, name)
        return values * len(self.downsampling_factor) if len(values) == 1 else values

    def stack(self, index: int) -> StackConfig:
        """Return the settings of stack `index`."""
        return StackConfig(
            downsampling_factor=self.downsampling_factor[index],
            pos_dim=self.pos_dim,
            dropout=self.dropout,
            causal=self.causal,
            **{name: self.stack_values(name)[index] for name in PER_STACK},
        )

    @property
    def num_stacks(self) -> int:
        """Number of stacks."""
        return len(self.downsampling_factor)

    @property
    def in_dim(self) -> int:
        """Dimension of the first stack."""
        return self.stack_values("encoder_dim")[0]

    @property
    def out_dim(self) -> int:
        """Dimension of the widest stack."""
        return max(self.encoder_dim)

    @property
    def stride(self) -> int:
        """Downsampling at the output."""
        return self.output_downsampling_factor

    @property
    def inner_dims(self) -> Tuple[int, ...]:
        """Dimension of each stack."""
        return self.stack_values("encoder_dim")

    @property
    def input_dropout(self) -> Schedule:
        """The same as within the encoder."""
        return Schedule.from_flat(self.dropout)
