"""The network: encoder frames, their statistics, a class."""

import dataclasses
from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig, build_input_embedding
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.heads.classifier import ClassifierHead


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """What stands on the encoder."""

    pooled_dropout: float = setting(0.1, "dropout of the statistics over time", minimum=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the classifier."""

    classifier: ClassifierConfig = section(ClassifierConfig, "what stands on the encoder")


class Classifier(AcousticEncoder):
    """An encoder and the head that tells classes apart.

    Args:
      num_classes: C. The other arguments are those of AcousticEncoder.
    """

    config: ModelConfig

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
        num_classes: int,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.head = ClassifierHead(config.encoder.out_dim, num_classes, config.classifier.pooled_dropout)

    def classify(self, frames: Tensor, frame_lens: Tensor) -> Tensor:
        """Unnormalised log-probs (N, C) of codes (N, T, K) or features (N, T, D), padded, with lens (N,)."""
        encoded = self.encode(frames, frame_lens)
        return self.head(encoded.encoder_out, encoded.lens)


def build_classifier(
    config: ModelConfig,
    spec: FeatureSpec,
    num_classes: int,
    augment_config: AugmentConfig,
    codebooks: Optional[Sequence[Tensor]] = None,
) -> Classifier:
    """Build the network for input of `spec`; `codebooks` are as for build_input_embedding."""
    embedding = build_input_embedding(config.input, spec, codebooks)
    return Classifier(config, embedding, EmbeddingAugment(augment_config), spec.frame_rate_hz, num_classes)
