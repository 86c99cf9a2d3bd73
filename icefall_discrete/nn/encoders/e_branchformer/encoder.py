"""The E-Branchformer encoder."""

from icefall_discrete.nn.attention.layered_encoder import LayeredEncoder
from icefall_discrete.nn.attention.positions import RelativePositions
from icefall_discrete.nn.encoders.e_branchformer.config import EBranchformerConfig
from icefall_discrete.nn.encoders.e_branchformer.layer import EBranchformerLayer


class EBranchformer(LayeredEncoder[EBranchformerLayer]):
    """E-Branchformer, https://arxiv.org/abs/2210.00077, as in ESPnet."""

    def __init__(self, config: EBranchformerConfig) -> None:
        layers = (EBranchformerLayer(config) for _ in range(config.num_layers))
        positions = RelativePositions(config.dim, config.positional_dropout)
        super().__init__(config, layers, positions, normalised_inner=False)
