"""The E-Branchformer encoder."""

from icefall_discrete.nn.attention.layered_encoder import RelativeEncoder
from icefall_discrete.nn.encoders.e_branchformer.config import EBranchformerConfig
from icefall_discrete.nn.encoders.e_branchformer.layer import EBranchformerLayer


class EBranchformer(RelativeEncoder):
    """E-Branchformer, https://arxiv.org/abs/2210.00077, as in ESPnet."""

    def __init__(self, config: EBranchformerConfig) -> None:
        layers = (EBranchformerLayer(config) for _ in range(config.num_layers))
        super().__init__(config, layers, normalised_inner=False)
