"""k-means on a layer of contrastive predictive coding.

Lakhotia et al. 2021 (GSLM), https://arxiv.org/abs/2102.01192, on the model of Rivière et al. 2020,
https://arxiv.org/abs/2002.02848.
"""

import dataclasses

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames.cpc_encoder import CpcEncoder, CpcSettings
from icefall_discrete.tokenizers.frames.frame_encoders import EncoderKmeansTokenizer
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig


@dataclasses.dataclass(frozen=True)
class CpcKmeansConfig(CpcSettings, KmeansConfig):
    """k-means on a layer of contrastive predictive coding."""

    num_clusters: int = setting(100, "Number of clusters, the codebook size V.")

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        CpcSettings.__post_init__(self)
        KmeansConfig.__post_init__(self)


class CpcKmeansTokenizer(EncoderKmeansTokenizer):
    """One code a frame, about S / 160, 100 Hz."""

    Config = CpcKmeansConfig
    Encoder = CpcEncoder
