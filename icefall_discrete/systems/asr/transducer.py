"""The recogniser's network: predictor, joiner and CTC heads on an acoustic encoder.

Letters: N utterances, T input frames, T' encoder frames, K codebooks, D dimension, U labels, V output units.
"""

import dataclasses
from typing import Optional, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig, build_input_embedding
from icefall_discrete.nn.code_embedding import EmbeddingAugment
from icefall_discrete.nn.encoders.contract import EncoderOutput
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor
from icefall_discrete.nn.scaling import scaled_linear

BLANK_ID = 0
# Initial scale of the projections of the simple loss, as in icefall: their first outputs are small.
_SIMPLE_SCALE = 0.25
CTC_DROPOUT = 0.1


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the transducer: embedding, front end, encoder, predictor and joiner."""

    decoder_dim: int = setting(512, "dimension of the predictor")
    context_size: int = setting(2, "number of labels that the predictor sees")
    joiner_dim: int = setting(512, "dimension of the joiner")
    inner_ctc_stacks: Tuple[int, ...] = setting((), "encoder stacks (from 0) with a CTC head of their own")

    def __post_init__(self) -> None:
        super().__post_init__()
        num_inner = len(self.encoder.inner_dims)
        outside = [index for index in self.inner_ctc_stacks if not 0 <= index < num_inner]
        if outside:
            raise ValueError(f"inner_ctc_stacks names stack {outside[0]}, but stacks are 0 to {num_inner - 1}.")


class CtcHead(nn.Linear):
    """Dropout, then unnormalised log-probs (N, T', V) of labels from encoder frames (N, T', D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T', D) to (N, T', V)."""
        return super().forward(F.dropout(x, CTC_DROPOUT, self.training))


class Transducer(AcousticEncoder):
    """A pruned RNN-T with CTC heads, https://arxiv.org/abs/2206.13236.

    Only `encode` leads from input to encoder output; the other parts are called by losses and searches.

    Args:
      vocab_size: V, the blank (id 0) included. The others are those of AcousticEncoder.
    """

    config: ModelConfig

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: nn.Module,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
        vocab_size: int,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.vocab_size = vocab_size
        encoder_dim = config.encoder.out_dim
        self.predictor = StatelessPredictor(vocab_size, config.decoder_dim, BLANK_ID, config.context_size)
        self.joiner = Joiner(encoder_dim, config.decoder_dim, config.joiner_dim, vocab_size)
        self.simple_am_proj = scaled_linear(encoder_dim, vocab_size, _SIMPLE_SCALE)
        self.simple_lm_proj = scaled_linear(config.decoder_dim, vocab_size, _SIMPLE_SCALE)
        self.ctc_output = CtcHead(encoder_dim, vocab_size)
        inner_dims = config.encoder.inner_dims
        self.inner_ctc_outputs = nn.ModuleList(CtcHead(inner_dims[i], vocab_size) for i in config.inner_ctc_stacks)

    def encode(self, frames: Tensor, frame_lens: Tensor, inner: Optional[Sequence[int]] = None) -> EncoderOutput:
        """As AcousticEncoder.encode; `inner` is by default the stacks that have CTC heads."""
        return super().encode(frames, frame_lens, self.config.inner_ctc_stacks if inner is None else inner)


def build_transducer(
    config: ModelConfig,
    spec: FeatureSpec,
    vocab_size: int,
    augment_config: AugmentConfig,
    codebooks: Optional[Sequence[Tensor]] = None,
) -> Transducer:
    """Build the model for input of `spec` and `vocab_size` output units; `codebooks` as for build_input_embedding."""
    embedding = build_input_embedding(config, spec, codebooks)
    return Transducer(config, embedding, EmbeddingAugment(augment_config), spec.frame_rate_hz, vocab_size)
