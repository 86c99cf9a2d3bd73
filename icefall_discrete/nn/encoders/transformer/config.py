"""Settings of the Transformer encoder."""

import dataclasses

from icefall_discrete.nn.attention.config import AttentionConfig


@dataclasses.dataclass(frozen=True)
class TransformerConfig(AttentionConfig):
    """Shape and dropout of the Transformer encoder."""
