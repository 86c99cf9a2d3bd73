"""The network: frames of an encoder, and for each source and codebook a code of each frame.

As the enhancement and separation of DASB, https://arxiv.org/abs/2406.14294. Letters: N utterances, T frames,
S sources, K codebooks of V_k entries.
"""

import dataclasses
from typing import List, Optional, Sequence

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment
from icefall_discrete.nn.frame_network import build_input_embedding


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the network."""

    head_dropout: float = setting(0.1, "dropout rate before the output layer", minimum=0, maximum=0.99)

    def __post_init__(self) -> None:
        check_settings(self)

    def require_every_frame(self) -> None:
        """Raise ValueError if not every frame of the input has one of the encoder."""
        stride, rate_hz = self.front_end.stride * self.encoder.stride, self.input.input_frame_rate_hz
        if stride != 1 or rate_hz:
            raise ValueError(
                f"front end and encoder give a frame for {stride} frames of codes (input_frame_rate_hz {rate_hz:g}), "
                "but each wants codes: choose front end identity and an encoder such as conformer or transformer, and "
                "set input_frame_rate_hz to 0."
            )


class Enhancer(AcousticEncoder):
    """An encoder and its output layer.

    Args:
      config: the settings. spec: of the codes. num_sources: S. codebooks: as for build_input_embedding.
    """

    config: ModelConfig

    def __init__(
        self, config: ModelConfig, spec: FeatureSpec, num_sources: int, codebooks: Optional[Sequence[Tensor]]
    ) -> None:
        augment = EmbeddingAugment(AugmentConfig(num_embedding_masks=0))
        super().__init__(config, build_input_embedding(config.input, spec, codebooks), augment, spec.frame_rate_hz)
        self.num_sources, self.sizes = num_sources, list(spec.codebook_sizes)
        self.dropout = nn.Dropout(config.head_dropout)
        self.output = nn.Linear(config.encoder.out_dim, num_sources * sum(self.sizes))

    def log_probs(self, codes: Tensor, lens: Tensor) -> List[Tensor]:
        """Of each codebook, log-probs (N, T, S, V_k) of codes (N, T, K) of mixtures, padded, with lens (N,)."""
        encoded = self.encode(codes, lens).encoder_out
        scores = self.output(self.dropout(encoded)).unflatten(2, (self.num_sources, -1))
        return [part.float().log_softmax(dim=3) for part in scores.split(self.sizes, dim=3)]

    @torch.no_grad()
    def parted(self, codes: Tensor, lens: Tensor) -> Tensor:
        """The most probable codes (N, T, S, K) int64 of each source."""
        return torch.stack([part.argmax(dim=3) for part in self.log_probs(codes, lens)], dim=3)


def build_enhancer(
    config: ModelConfig, spec: FeatureSpec, num_sources: int, codebooks: Optional[Sequence[Tensor]] = None
) -> Enhancer:
    """The network for codes of `spec`.

    Raises:
      ValueError: for features, for codes of a variable rate, and for a shape that has not a frame for each of theirs.
    """
    config.require_every_frame()
    if spec.kind != "codes" or spec.has_variable_rate:
        what = "continuous features" if spec.kind != "codes" else "codes of a variable rate"
        raise ValueError(
            f"'{spec.name}' has {what}, but each frame of a mixture is to get codes of its sources; choose a feature "
            "type of codes at a constant rate."
        )
    return Enhancer(config, spec, num_sources, codebooks)
