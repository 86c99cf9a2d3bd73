"""The causal EBranchformer chunk by chunk."""

from icefall_discrete.nn.attention.streaming import StreamingLayers


class StreamingEBranchformer(StreamingLayers):
    """Runs a causal EBranchformer on one chunk of each of N streams; see StreamingLayers."""
