"""Settings of the transformer of wav2vec 2.0."""

import dataclasses

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EqualLayersConfig


@dataclasses.dataclass(frozen=True)
class Wav2Vec2Config(EqualLayersConfig):
    """Shape and dropout; the defaults are those of the base model."""

    dim: int = setting(768, "dimension of the frames", minimum=1)
    num_layers: int = setting(12, "number of layers", minimum=1)
    num_heads: int = setting(12, "number of attention heads, which share the dimension", minimum=1)
    feedforward_dim: int = setting(3072, "hidden dimension of the feed-forward modules", minimum=1)
    norm_first: bool = setting(False, "normalise before each module, not behind it (large models)")
    position_kernel: int = setting(128, "frames that the convolution of positions sees", minimum=1)
    position_groups: int = setting(16, "groups of that convolution, which share the dimension", minimum=1)
    relative_buckets: int = setting(0, "buckets of offsets that bias attention (WavLM: 320); 0: none", minimum=0)
    largest_offset: int = setting(800, "offset in frames from which on all are in one bucket", minimum=2)
    dropout: float = setting(0.1, "dropout rate", minimum=0, maximum=0.99)
    attention_dropout: float = setting(0.1, "dropout rate of the attention weights", minimum=0, maximum=0.99)
    activation_dropout: float = setting(0.0, "dropout rate within feed-forward modules", minimum=0, maximum=0.99)
    input_dropout: float = setting(0.0, "dropout rate of the vectors of the front end", minimum=0, maximum=0.99)
    layer_dropout: float = setting(0.05, "how probably a layer is passed over in training", minimum=0, maximum=0.99)

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("num_heads", "position_groups"):
            if self.dim % getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}, which does not divide dim, {self.dim}.")
        if self.relative_buckets % 4:
            raise ValueError(f"relative_buckets is {self.relative_buckets}, expected a multiple of 4.")
