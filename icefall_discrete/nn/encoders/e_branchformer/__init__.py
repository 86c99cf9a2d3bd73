"""The E-Branchformer encoder, https://arxiv.org/abs/2210.00077: attention and a gated MLP with convolutions, merged."""

from icefall_discrete.nn.encoders.e_branchformer.config import EBranchformerConfig
from icefall_discrete.nn.encoders.e_branchformer.encoder import EBranchformer

__all__ = ["EBranchformer", "EBranchformerConfig"]
