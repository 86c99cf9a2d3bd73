"""k-means on a layer of HuBERT, WavLM, wav2vec 2.0 and their descendants: the tokens of most papers.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447; Chen et al. 2022, https://arxiv.org/abs/2110.13900; as the input of
speech recognition, Yang et al. 2024, https://arxiv.org/abs/2309.07377.
"""

import dataclasses

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames.frame_encoders import EncoderKmeansTokenizer
from icefall_discrete.tokenizers.frames.ssl_encoder import SslEncoder, SslSettings
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig


@dataclasses.dataclass(frozen=True)
class SslKmeansConfig(SslSettings, KmeansConfig):
    """k-means on a layer of a self-supervised transformer."""

    num_clusters: int = setting(2000, "Number of clusters, the codebook size V.")

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        SslSettings.__post_init__(self)
        KmeansConfig.__post_init__(self)


class SslKmeansTokenizer(EncoderKmeansTokenizer):
    """One code a frame, T = (S - 400) // 320 + 1, 50 Hz."""

    Config = SslKmeansConfig
    Encoder = SslEncoder
