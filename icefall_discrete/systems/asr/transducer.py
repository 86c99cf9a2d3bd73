"""The model: input of a batch -> vectors -> front end -> Zipformer; predictor, joiner and CTC heads beside it.

Letters: N utterances, T input frames, T' encoder frames, K codebooks, D dimension, U labels, V output units.
"""

import dataclasses
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.rate_matching import match_rate, rate_ratio
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.code_embedding import COMBINATIONS, CodeEmbedding, EmbeddingAugment, FeatureNormalizer
from icefall_discrete.nn.encoders.zipformer import Zipformer, ZipformerConfig
from icefall_discrete.nn.front_ends import Conv1dSubsampling, Conv2dSubsampling
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor
from icefall_discrete.nn.scaling import Schedule, scaled_linear

FRONT_ENDS = ("conv2d", "conv1d")
EMBEDDING_INITS = ("learned", "codebook", "auto")
BLANK_ID = 0
# Initial scale of the projections of the simple loss, as in icefall: their first outputs are small.
_SIMPLE_SCALE = 0.25
CTC_DROPOUT = 0.1


@dataclasses.dataclass(frozen=True)
class ModelConfig(ZipformerConfig):
    """Shape of the transducer: embedding, front end, encoder, predictor and joiner."""

    embedding_dim: int = setting(80, "size of the vectors given to the front end; 0: that of the input, no projection")
    codebook_dim: int = setting(0, "size of one codebook's learned vectors; 0: embedding_dim")
    embedding_init: str = setting(
        "learned",
        "where the vectors of codes start: from noise, from the tokenizer's codebooks, or auto: from codebooks if any",
        choices=EMBEDDING_INITS,
    )
    embedding_frozen: bool = setting(False, "keep the vectors of codes as they start (with embedding_init codebook)")
    codebook_combination: str = setting(
        "concat",
        "how the vectors of K codebooks become one: side by side, their sum, or their sum with learned weights",
        choices=COMBINATIONS,
    )
    input_frame_rate_hz: float = setting(
        0.0, "resample frames to this rate, nearest neighbour (100 in the paper's code); 0: leave their rate"
    )
    front_end: str = setting("conv2d", "conv2d: the paper's, for spectrograms; conv1d: for codes", choices=FRONT_ENDS)
    front_end_stride: int = setting(2, "frames that the conv1d front end makes one of (conv2d: always 2)")
    decoder_dim: int = setting(512, "dimension of the predictor")
    context_size: int = setting(2, "number of labels that the predictor sees")
    joiner_dim: int = setting(512, "dimension of the joiner")
    inner_ctc_stacks: Tuple[int, ...] = setting((), "encoder stacks (from 0) with a CTC head of their own")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_frozen and self.embedding_init == "learned":
            raise ValueError("embedding_frozen with embedding_init learned would keep random vectors; use codebook.")
        outside = [index for index in self.inner_ctc_stacks if not 0 <= index < self.num_stacks]
        if outside:
            raise ValueError(f"inner_ctc_stacks names stack {outside[0]}, but stacks are 0 to {self.num_stacks - 1}.")


class EncoderOutput(NamedTuple):
    """encoder_out (N, T', D), lens (N,); inner: for each inner CTC head its stack's output (N, T_i, D_i) and lens."""

    encoder_out: Tensor
    lens: Tensor
    inner: List[Tuple[Tensor, Tensor]]


class CtcHead(nn.Linear):
    """Dropout, then unnormalised log-probs (N, T', V) of labels from encoder frames (N, T', D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T', D) to (N, T', V)."""
        return super().forward(F.dropout(x, CTC_DROPOUT, self.training))


class Transducer(nn.Module):
    """A pruned RNN-T with CTC heads, https://arxiv.org/abs/2206.13236, on a Zipformer encoder.

    Only `encode` leads from input to encoder output; the other parts are called by losses and searches.

    Args:
      config: the settings. input_embedding: CodeEmbedding or FeatureNormalizer. augment: masks on its output.
      frame_rate_hz: rate of the input frames. vocab_size: V, the blank (id 0) included.
    """

    def __init__(
        self,
        config: ModelConfig,
        input_embedding: nn.Module,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
        vocab_size: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.rate_ratio = rate_ratio(config.input_frame_rate_hz, frame_rate_hz)
        self.input_embedding = input_embedding
        self.augment = augment
        stack_dims = config.stack_values("encoder_dim")
        dropout = Schedule.from_flat(config.dropout)
        if config.front_end == "conv2d":
            self.front_end: nn.Module = Conv2dSubsampling(input_embedding.out_dim, stack_dims[0], dropout)
        else:
            self.front_end = Conv1dSubsampling(input_embedding.out_dim, stack_dims[0], config.front_end_stride, dropout)
        self.encoder = Zipformer(ZipformerConfig.of(config))
        encoder_dim = config.output_dim
        self.predictor = StatelessPredictor(vocab_size, config.decoder_dim, BLANK_ID, config.context_size)
        self.joiner = Joiner(encoder_dim, config.decoder_dim, config.joiner_dim, vocab_size)
        self.simple_am_proj = scaled_linear(encoder_dim, vocab_size, _SIMPLE_SCALE)
        self.simple_lm_proj = scaled_linear(config.decoder_dim, vocab_size, _SIMPLE_SCALE)
        self.ctc_output = CtcHead(encoder_dim, vocab_size)
        self.inner_ctc_outputs = nn.ModuleList(CtcHead(stack_dims[i], vocab_size) for i in config.inner_ctc_stacks)

    def set_epoch(self, epoch: int) -> None:
        """Tell the augmentation which epoch (from 1) is being trained."""
        self.augment.epoch = epoch

    def encode(self, frames: Tensor, frame_lens: Tensor) -> EncoderOutput:
        """Encode codes (N, T, K) int64 or features (N, T, D) float, padded as the loader does, with lens (N,)."""
        x = self.input_embedding(frames)
        x, lens = match_rate(x, frame_lens, self.rate_ratio)
        x = self.augment(x)
        x, lens = self.front_end(x, lens)
        out, out_lens, inner = self.encoder(x, lens, self.config.inner_ctc_stacks)
        return EncoderOutput(out, out_lens, [(one, lens) for one in inner])


def uses_codebooks(config: ModelConfig, spec: FeatureSpec) -> bool:
    """Whether a model of this input takes its vectors from the tokenizer's codebooks where there are any."""
    return spec.kind == "codes" and config.embedding_init in ("codebook", "auto")


def build_transducer(
    config: ModelConfig,
    spec: FeatureSpec,
    vocab_size: int,
    augment_config: AugmentConfig,
    codebooks: Optional[Sequence[Tensor]] = None,
) -> Transducer:
    """Build the model for input of `spec` and `vocab_size` output units.

    Args:
      codebooks: the tokenizer's, K tensors (V_k, D_k), or None; used as `config.embedding_init` says.
    Raises:
      ValueError: if `embedding_init` is "codebook" and there are none, or `input_frame_rate_hz` asks for another rate
        of codes that have no constant one.
    """
    if spec.has_variable_rate and config.input_frame_rate_hz:
        raise ValueError(
            f"input_frame_rate_hz is {config.input_frame_rate_hz}, but '{spec.name}' has a variable rate, which cannot "
            "be matched; use --input-frame-rate-hz 0."
        )
    if spec.kind == "continuous":
        embedding: nn.Module = FeatureNormalizer(spec.feature_dim, config.embedding_dim)
    else:
        if config.embedding_init == "codebook" and codebooks is None:
            raise ValueError(
                f"embedding_init is codebook, but feature type '{spec.name}' has no codebooks.safetensors; "
                "use --embedding-init learned (or auto), or extract again with a tokenizer that has codebooks."
            )
        embedding = CodeEmbedding(
            spec.codebook_sizes,
            config.embedding_dim,
            config.codebook_dim,
            config.codebook_combination,
            codebooks if uses_codebooks(config, spec) else None,
            config.embedding_frozen,
        )
    return Transducer(config, embedding, EmbeddingAugment(augment_config), spec.frame_rate_hz, vocab_size)
