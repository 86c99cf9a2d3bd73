"""The recogniser's network: predictor, joiner, CTC heads and attention decoder on an acoustic encoder.

Letters: N utterances, T input frames, T' encoder frames, K codebooks, D dimension, U labels, V output units.
"""

import dataclasses
from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor, nn

from icefall_discrete.base.settings import section, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.encoders.contract import EncoderOutput
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder, AttentionDecoderConfig
from icefall_discrete.nn.heads.ctc import CtcHead
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor
from icefall_discrete.nn.scaling import scaled_linear
from icefall_discrete.text.pieces import BLANK_ID, SOS_EOS_ID, UNK_ID

# Initial scale of the projections of the simple loss, as in icefall: their first outputs are small.
_SIMPLE_SCALE = 0.25
# Beginnings of the names of weights that a loss of their own trains.
HEADS = (
    "predictor.",
    "joiner.",
    "simple_am_proj.",
    "simple_lm_proj.",
    "ctc_output.",
    "inner_ctc_outputs.",
    "attention_decoder.",
)


@dataclasses.dataclass(frozen=True)
class TransducerHeadConfig:
    """Predictor and joiner."""

    decoder_dim: int = setting(512, "dimension of the predictor", minimum=1)
    context_size: int = setting(2, "number of labels that the predictor sees", minimum=1)
    joiner_dim: int = setting(512, "dimension of the joiner", minimum=1)


@dataclasses.dataclass(frozen=True)
class InnerCtcConfig:
    """CTC heads within the encoder."""

    stacks: Tuple[int, ...] = setting(
        (), "places of the encoder (from 0) with a CTC head of their own", formerly="inner_ctc_stacks", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class HeadsConfig:
    """What stands on the encoder; a head exists only if its loss has a scale above 0."""

    transducer: TransducerHeadConfig = section(TransducerHeadConfig, "predictor and joiner")
    inner_ctc: InnerCtcConfig = section(InnerCtcConfig, "CTC heads within the encoder")
    attention_decoder: AttentionDecoderConfig = section(AttentionDecoderConfig, "the attention decoder")


@dataclasses.dataclass(frozen=True)
class ModelConfig(AcousticEncoderConfig):
    """Shape of the recogniser."""

    heads: HeadsConfig = section(HeadsConfig, "what stands on the encoder")

    def __post_init__(self) -> None:
        num_inner = len(self.encoder.inner_dims)
        outside = [index for index in self.heads.inner_ctc.stacks if not 0 <= index < num_inner]
        if outside:
            raise ValueError(f"inner_ctc_stacks names stack {outside[0]}, but stacks are 0 to {num_inner - 1}.")


class Heads(NamedTuple):
    """Which heads a network has: those that its losses train."""

    transducer: bool = True
    ctc: bool = True
    inner_ctc: bool = True
    attention_decoder: bool = False

    @classmethod
    def trained_by(cls, losses: LossConfig) -> "Heads":
        """The heads whose losses have a scale above 0."""
        scales = (losses.transducer_loss_scale, losses.ctc_loss_scale, losses.inner_ctc_loss_scale)
        return cls(*(scale > 0 for scale in (*scales, losses.attention_decoder_loss_scale)))


USUAL_HEADS = Heads()


class Transducer(AcousticEncoder):
    """A pruned RNN-T with CTC heads, https://arxiv.org/abs/2206.13236, and an attention decoder.

    Only `encode` leads from input to encoder output; the other parts are called by losses and searches.

    Args:
      vocab_size: V, the blank (id 0) included. heads: which there are; the others are None.
      The other arguments are those of AcousticEncoder.
    """

    config: ModelConfig

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
        vocab_size: int,
        heads: Heads,
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.vocab_size = vocab_size
        self.blank_id, self.unk_id = BLANK_ID, UNK_ID
        encoder_dim, inner_dims = config.encoder.out_dim, config.encoder.inner_dims
        shape = config.heads.transducer
        self.predictor = self.joiner = self.simple_am_proj = self.simple_lm_proj = self.ctc_output = None
        if heads.transducer:
            self.predictor = StatelessPredictor(vocab_size, shape.decoder_dim, BLANK_ID, shape.context_size)
            self.joiner = Joiner(encoder_dim, shape.decoder_dim, shape.joiner_dim, vocab_size)
            self.simple_am_proj = scaled_linear(encoder_dim, vocab_size, _SIMPLE_SCALE)
            self.simple_lm_proj = scaled_linear(shape.decoder_dim, vocab_size, _SIMPLE_SCALE)
        if heads.ctc:
            self.ctc_output = CtcHead(encoder_dim, vocab_size)
        self.inner_stacks = config.heads.inner_ctc.stacks if heads.inner_ctc else ()
        self.inner_ctc_outputs = nn.ModuleList(CtcHead(inner_dims[index], vocab_size) for index in self.inner_stacks)
        # The last, so that the first weights of all others are the same without it.
        self.attention_decoder = None
        if heads.attention_decoder:
            shape_of_it = config.heads.attention_decoder
            self.attention_decoder = AttentionDecoder(shape_of_it, encoder_dim, vocab_size, SOS_EOS_ID)
        self.adapt()

    def load_trained(self, state: Mapping[str, Tensor], where: str) -> None:
        """As AcousticEncoder's, but heads that the checkpoint holds though nothing trained them are left out.

        Checkpoints of earlier versions have such heads.
        """
        own = self.state_dict()
        kept = {name: value for name, value in state.items() if name in own or not name.startswith(HEADS)}
        super().load_trained(kept, where)

    def encode(self, frames: Tensor, frame_lens: Tensor, inner: Optional[Sequence[int]] = None) -> EncoderOutput:
        """As AcousticEncoder.encode; `inner` is by default the stacks that have CTC heads."""
        return super().encode(frames, frame_lens, self.inner_stacks if inner is None else inner)


def build_transducer(
    config: ModelConfig,
    spec: FeatureSpec,
    vocab_size: int,
    augment_config: AugmentConfig,
    codebooks: Optional[Sequence[Tensor]] = None,
    heads: Heads = USUAL_HEADS,
) -> Transducer:
    """Build the model for input of `spec` and `vocab_size` output units.

    `codebooks` are as for build_input_embedding; `heads` those that are trained, by default all but the attention
    decoder.
    """
    embedding = build_input_embedding(config.input, spec, codebooks)
    return Transducer(config, embedding, EmbeddingAugment(augment_config), spec.frame_rate_hz, vocab_size, heads)
