"""The causal Conformer chunk by chunk."""

from icefall_discrete.nn.attention.streaming import StreamingLayers


class StreamingConformer(StreamingLayers):
    """Runs a causal Conformer on one chunk of each of N streams; see StreamingLayers."""
