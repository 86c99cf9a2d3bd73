"""k-means on the context or the features of wav2vec.

Schneider et al. 2019, https://arxiv.org/abs/1904.05862.
"""

import dataclasses

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames.frame_encoders import EncoderKmeansTokenizer
from icefall_discrete.tokenizers.frames.wav2vec_v1 import Wav2VecEncoder, Wav2VecSettings
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig


@dataclasses.dataclass(frozen=True)
class Wav2vecKmeansConfig(Wav2VecSettings, KmeansConfig):
    """k-means on the context or the features of wav2vec."""

    num_clusters: int = setting(500, "Number of clusters, the codebook size V.")

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        Wav2VecSettings.__post_init__(self)
        KmeansConfig.__post_init__(self)


class Wav2vecKmeansTokenizer(EncoderKmeansTokenizer):
    """One code a frame, T = (S - 465) // 160 + 1, 100 Hz."""

    Config = Wav2vecKmeansConfig
    Encoder = Wav2VecEncoder
