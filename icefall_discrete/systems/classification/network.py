"""The network: encoder frames, their statistics, a class."""

import dataclasses
from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.settings import choice
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.heads.classifier import ClassifierHead
from icefall_discrete.nn.heads.classifiers.contract import CLASSIFIERS, ClassifierConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the classifier."""

    classifier: ClassifierConfig = choice(
        "statistics", "what makes one vector of the frames of an utterance, to tell classes apart by", CLASSIFIERS
    )


class Classifier(AcousticEncoder):
    """An encoder and the head that tells classes apart.

    Args:
      num_classes: C. cosine_scale: as for ClassifierHead. The other arguments are those of AcousticEncoder.
    """

    config: ModelConfig

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
        num_classes: int,
        cosine_scale: float = 0.0,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.head = ClassifierHead(config.classifier.build(config.encoder.out_dim), num_classes, cosine_scale)
        self.adapt()

    def classify(self, frames: Tensor, frame_lens: Tensor) -> Tensor:
        """Unnormalised log-probs (N, C) of codes (N, T, K) or features (N, T, D), padded, with lens (N,)."""
        encoded = self.encode(frames, frame_lens)
        return self.head(encoded.encoder_out, encoded.lens)

    def embed(self, frames: Tensor, frame_lens: Tensor) -> Tensor:
        """Embeddings (N, E) of utterances, to compare them by their cosines; arguments as of `classify`."""
        encoded = self.encode(frames, frame_lens)
        return self.head.embedder(encoded.encoder_out, encoded.lens)


def build_classifier(
    config: ModelConfig,
    spec: FeatureSpec,
    num_classes: int,
    augment_config: AugmentConfig,
    codebooks: Optional[Sequence[Tensor]] = None,
    cosine_scale: float = 0.0,
) -> Classifier:
    """Build the network for input of `spec`.

    `codebooks` are as for build_input_embedding; `cosine_scale` as for ClassifierHead.
    """
    embedding, augment = build_input_embedding(config.input, spec, codebooks), EmbeddingAugment(augment_config)
    return Classifier(config, embedding, augment, spec.frame_rate_hz, num_classes, cosine_scale)
