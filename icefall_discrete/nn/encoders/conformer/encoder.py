"""The Conformer encoder."""

from icefall_discrete.nn.attention.layered_encoder import RelativeEncoder
from icefall_discrete.nn.encoders.conformer.config import ConformerConfig
from icefall_discrete.nn.encoders.conformer.layer import ConformerLayer


class Conformer(RelativeEncoder):
    """Conformer, https://arxiv.org/abs/2005.08100, as in ESPnet.

    Statistics of batch normalisation leave padding out. In training an utterance still depends on the others of its
    batch through them; with `cnn_module_norm` layer it does not.
    """

    def __init__(self, config: ConformerConfig) -> None:
        layers = (ConformerLayer(config) for _ in range(config.num_layers))
        super().__init__(config, layers, normalised_inner=True)
