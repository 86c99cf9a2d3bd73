"""From the input of a batch to encoder frames: vectors, rate matching, masks, front end, encoder.

What recognisers, classifiers and other systems that read codes or features have in common. Letters: N utterances,
T input frames, T' encoder frames, K codebooks, D dimension.
"""

import dataclasses
from typing import Mapping, Optional, Sequence

from torch import Tensor, nn

from icefall_discrete.base.rate_matching import match_rate, matched_lens, rate_ratio
from icefall_discrete.base.settings import choice, section, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.attention.positions import AbsolutePositions
from icefall_discrete.nn.code_embedding import (
    COMBINATIONS,
    CodeEmbedding,
    EmbeddingAugment,
    FeatureNormalizer,
    InputEmbedding,
)
from icefall_discrete.nn.encoders.contract import ENCODERS, EncoderConfig, EncoderOutput, build_encoder
from icefall_discrete.nn.front_ends.contract import FRONT_ENDS, FrontEndConfig
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.loading import load_strictly
from icefall_discrete.nn.utterance_frames import UtteranceFrames

EMBEDDING_INITS = ("learned", "codebook", "auto")


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """From codes or features to the vectors of the front end."""

    embedding_dim: int = setting(
        80, "size of the vectors given to the front end; 0: that of the input, no projection", minimum=0
    )
    codebook_dim: int = setting(0, "size of one codebook's learned vectors; 0: embedding_dim", minimum=0)
    embedding_init: str = setting(
        "learned",
        "where the vectors of codes start: from noise, from the tokenizer's codebooks, or auto: from codebooks if any",
        choices=EMBEDDING_INITS,
    )
    embedding_frozen: bool = setting(False, "keep the vectors of codes as they start (with embedding_init codebook)")
    codebook_combination: str = setting(
        "concat",
        "how the vectors of K codebooks become one: side by side, their sum, or their sum with weights: learned ones, "
        "or those that a network gives the codes of each frame (attention: DASB's)",
        choices=COMBINATIONS,
    )
    input_frame_rate_hz: float = setting(
        0.0, "resample frames to this rate, nearest neighbour (100 in the paper's code); 0: leave their rate", minimum=0
    )

    input_positions: bool = setting(
        False, "scale the vectors by the root of their size and add sinusoids of their place, as ESPnet does for units"
    )
    input_positions_dropout: float = setting(
        0.1, "dropout rate behind them, with input_positions", minimum=0, maximum=0.99
    )

    def __post_init__(self) -> None:
        if self.embedding_frozen and self.embedding_init == "learned":
            raise ValueError("embedding_frozen with embedding_init learned would keep random vectors; use codebook.")

    def uses_codebooks(self, spec: FeatureSpec) -> bool:
        """Whether a network of this input takes its vectors from the tokenizer's codebooks where there are any."""
        return spec.kind == "codes" and self.embedding_init in ("codebook", "auto")


@dataclasses.dataclass(frozen=True)
class AcousticEncoderConfig:
    """Input, front end and encoder."""

    input: InputConfig = section(InputConfig, "from codes or features to vectors")
    front_end: FrontEndConfig = choice(
        "conv2d", "conv2d: the paper's, for spectrograms; conv1d: for codes; espnet_conv1d: ESPnet's", FRONT_ENDS
    )
    encoder: EncoderConfig = choice("zipformer", "network from the front end's vectors to frames", ENCODERS)

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """The encoder's output frames T' for `num_frames` frames of codes or features, never below 0.

        `spec` of the features is needed where `input_frame_rate_hz` asks for rate matching.
        """
        rate = self.input.input_frame_rate_hz
        if rate:
            if spec is None:
                raise ValueError(f"input_frame_rate_hz is {rate}: the frame count needs the features' spec too.")
            num_frames = matched_lens(num_frames, rate_ratio(rate, spec.frame_rate_hz))
        frames = self.encoder.frames_out(self.front_end.frames_out(num_frames))
        return max(frames, 0) if isinstance(frames, int) else frames.clamp(min=0)

    def encoder_frame_sec(self, spec: FeatureSpec) -> float:
        """Seconds of audio from one encoder frame to the next.

        Where the rate is variable, the average: times that are reckoned with it are approximate.
        """
        stride = self.front_end.stride * self.encoder.stride
        return stride / (self.input.input_frame_rate_hz or spec.frame_rate_hz)


class AcousticEncoder(nn.Module):
    """Encodes batches of codes or features; what stands on the encoder is added by subclasses.

    Args:
      config: the settings. input_embedding: CodeEmbedding or FeatureNormalizer. augment: masks on its output.
      frame_rate_hz: rate of the input frames.
    """

    def __init__(
        self,
        config: AcousticEncoderConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
    ) -> None:
        super().__init__()
        self.config = config
        self.rate_ratio = rate_ratio(config.input.input_frame_rate_hz, frame_rate_hz)
        self.input_embedding = input_embedding
        self.augment = augment
        self.positions: Optional[AbsolutePositions] = None
        if config.input.input_positions:
            self.positions = AbsolutePositions(input_embedding.out_dim, config.input.input_positions_dropout)
        encoder = config.encoder
        self.front_end = config.front_end.build(input_embedding.out_dim, encoder.in_dim, encoder.input_dropout)
        self.encoder = build_encoder(encoder)

    def set_epoch(self, epoch: int) -> None:
        """Tell the augmentation which epoch (from 1) is being trained."""
        self.augment.epoch = epoch

    def load_trained(self, state: Mapping[str, Tensor], where: str) -> None:
        """Load the state dict of the checkpoint `where`. Raises ValueError, naming weights and shapes, for another."""
        load_strictly(self, state, where)

    def encode(self, frames: Tensor, frame_lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode codes (N, T, K) int64 or features (N, T, D) float, padded as the loader does, with lens (N,).

        `inner` names inner places of the encoder whose outputs are returned too.
        """
        x = self.input_embedding(frames)
        x, lens = match_rate(x, frame_lens, self.rate_ratio)
        if self.positions is not None:
            x = UtteranceFrames(lens, x.shape[1]).without_padding(self.positions(x))
        x = self.augment(x)
        x, lens = self.front_end(x, lens)
        return self.encoder(x, lens, inner)


def build_input_embedding(
    config: InputConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]]
) -> InputEmbedding:
    """The module from codes or features of `spec` to vectors.

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
        return FeatureNormalizer(spec.feature_dim, config.embedding_dim)
    if config.embedding_init == "codebook" and codebooks is None:
        raise ValueError(
            f"embedding_init is codebook, but feature type '{spec.name}' has no codebooks.safetensors; "
            "use --embedding-init learned (or auto), or extract again with a tokenizer that has codebooks."
        )
    return CodeEmbedding(
        spec.codebook_sizes,
        config.embedding_dim,
        config.codebook_dim,
        config.codebook_combination,
        codebooks if config.uses_codebooks(spec) else None,
        config.embedding_frozen,
    )
