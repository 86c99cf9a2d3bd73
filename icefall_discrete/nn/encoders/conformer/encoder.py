"""The Conformer encoder."""

from icefall_discrete.nn.attention.layered_encoder import LayeredEncoder
from icefall_discrete.nn.attention.positions import RelativePositions
from icefall_discrete.nn.encoders.conformer.config import ConformerConfig
from icefall_discrete.nn.encoders.conformer.layer import ConformerLayer


class Conformer(LayeredEncoder[ConformerLayer]):
    """Conformer, https://arxiv.org/abs/2005.08100, as in ESPnet.

    Statistics of batch normalisation leave padding out. In training an utterance still depends on the others of its
    batch through them; with `cnn_module_norm` layer it does not.
    """

    def __init__(self, config: ConformerConfig) -> None:
        layers = (ConformerLayer(config) for _ in range(config.num_layers))
        positions = RelativePositions(config.dim, config.positional_dropout)
        super().__init__(config, layers, positions, normalised_inner=True)
