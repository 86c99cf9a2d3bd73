"""The network: features of which some frames are hidden, an encoder, and what each hidden frame is taken for.

Baevski, Auli and Mohamed 2019, https://arxiv.org/abs/1911.03912: the state at a hidden frame is to be nearer to what
stood there than to what stood at other hidden frames of the utterance (InfoNCE, https://arxiv.org/abs/1807.03748,
equation 4), with logits that are softly clamped. Where the encoder gives a frame for every S of its input, each of its
frames tells of S. Letters: N utterances, T frames of F features, M hidden frames, K negatives of each, D dimensions.
"""

import dataclasses
from typing import NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, FeatureNormalizer
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.systems.negatives import Drawn


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the network: input, front end and encoder."""

    logit_clamp: float = setting(20.0, "logits x become c tanh(x / c) with this c; 0: they stay as they are", minimum=0)


class Told(NamedTuple):
    """Of each utterance (N,): nats lost over its hidden frames, hidden frames, those told from all their negatives."""

    nats: Tensor
    hidden: Tensor
    correct: Tensor


class ContinuousBert(AcousticEncoder):
    """An encoder of features and a projection of its states; the mask is a vector that is learned.

    What is to be told apart are the features as the encoder reads them, of mean 0 and variance 1, before any layer.

    Args:
      config, augment, frame_rate_hz: as those of AcousticEncoder. input_embedding: of features.
    """

    config: ModelConfig
    input_embedding: FeatureNormalizer

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: FeatureNormalizer,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.mask_vector = nn.Parameter(torch.zeros(input_embedding.out_dim))
        self.head = nn.Linear(config.encoder.out_dim, config.frames_each * len(input_embedding.mean))

    def logits(self, said: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
        """Scores (M, 1 + K) of each hidden frame's own features, and of its negatives; one that is equal has -inf.

        Args:
          said, targets: (M, F). negatives: (M, K), rows of targets.
        """
        others = targets[negatives]
        scores = torch.cat([(said * targets).sum(dim=1, keepdim=True), torch.einsum("mf,mkf->mk", said, others)], dim=1)
        if self.config.logit_clamp:
            scores = self.config.logit_clamp * torch.tanh(scores / self.config.logit_clamp)
        same = (others == targets.unsqueeze(1)).all(dim=2)
        return torch.cat([scores[:, :1], scores[:, 1:].masked_fill(same, float("-inf"))], dim=1)

    def contrast(self, features: Tensor, lens: Tensor, drawn: Drawn) -> Told:
        """Compare states of hidden frames with what stood there and elsewhere.

        Args:
          features: (N, T, F), zeros behind ends; lens (N,). drawn: what is hidden, and negatives.
        """
        wanted = self.input_embedding.normalized(features)
        hidden = F.pad(drawn.hidden, (0, wanted.shape[1] - drawn.hidden.shape[1]))
        x = self.input_embedding.projection(wanted)
        x = torch.where(hidden.unsqueeze(2), self.mask_vector.to(x.dtype), x)
        encoded = self.encode_vectors(x, lens).encoder_out
        each = self.config.frames_each
        rows, frames = hidden.nonzero(as_tuple=True)
        sources = torch.div(frames, each, rounding_mode="floor")
        said = self.head(encoded[rows, sources]).unflatten(1, (each, -1))
        said = said[torch.arange(len(rows), device=rows.device), frames - sources * each]
        logits = self.logits(said.float(), wanted[rows, frames].float(), drawn.negatives)
        nats = F.cross_entropy(logits, torch.zeros_like(rows), reduction="none")
        scores = logits.detach()
        told = (scores[:, :1] > scores[:, 1:]).all(dim=1) & scores[:, 1:].isfinite().any(dim=1)
        zeros = nats.new_zeros(len(lens))
        parts = (nats, torch.ones_like(nats), told.to(nats.dtype))
        return Told(*(zeros.index_add(0, rows, one) for one in parts))


def build_continuous_bert(
    config: ModelConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None
) -> ContinuousBert:
    """The network for features of `spec`.

    Raises:
      ValueError: for codes, for samples, and where frames are resampled.
    """
    if spec.kind != "continuous":
        raise ValueError(
            f"'{spec.name}' are codes, and Continuous BERT reads features; take a continuous type, such as fbank, or "
            "system discrete_bert."
        )
    if config.front_end.reads_samples:
        raise ValueError("Continuous BERT reads features, not samples: take another front_end, or system wav2vec2.")
    if config.input.learned_codes:
        raise ValueError("Continuous BERT reads features themselves: set learned_codes to 0.")
    if config.input.input_frame_rate_hz:
        raise ValueError(
            f"input_frame_rate_hz is {config.input.input_frame_rate_hz:g}, but Continuous BERT tells of each frame of "
            "features; set it to 0."
        )
    embedding = build_input_embedding(config.input, spec, codebooks)
    assert isinstance(embedding, FeatureNormalizer)
    augment = EmbeddingAugment(AugmentConfig(augment_prob=0.0))
    return ContinuousBert(config, embedding, augment, spec.frame_rate_hz)
