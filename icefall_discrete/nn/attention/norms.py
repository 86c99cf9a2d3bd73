"""Normalisation of frames, each by itself."""

from torch import nn

# As in ESPnet: with 1e-5 a frame of small values would come out smaller than there.
EPSILON = 1.0e-12


def layer_norm(dim: int) -> nn.LayerNorm:
    """Normalisation of each frame over its `dim` channels."""
    return nn.LayerNorm(dim, eps=EPSILON)
