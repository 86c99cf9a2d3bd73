"""The causal Transformer chunk by chunk."""

from icefall_discrete.nn.attention.streaming import StreamingLayers


class StreamingTransformer(StreamingLayers):
    """Runs a causal Transformer on one chunk of each of N streams; see StreamingLayers."""
