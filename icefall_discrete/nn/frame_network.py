"""What networks that read codes or features have in common: the vectors that they begin with, how weights come in.

Letters: N utterances, T frames, K codebooks, D dimension.
"""

import dataclasses
from typing import Mapping, Optional, Protocol, Sequence, Tuple, TypeVar

from torch import Tensor, nn

from icefall_discrete.base.settings import LEAST_TEMPERATURE, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.adaptation import freeze, hold_still
from icefall_discrete.nn.code_embedding import COMBINATIONS, CodeEmbedding, FeatureNormalizer, InputEmbedding
from icefall_discrete.nn.learned_codes import LearnedCodes
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.loading import load_strictly

N = TypeVar("N", bound="FrameNetwork")
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

    learned_codes: int = setting(
        0,
        "of continuous features: centroids of a k-means that is learnt with the network, whose codes it reads; 0: it "
        "reads the features",
        minimum=0,
    )
    code_temperature: float = setting(
        0.05, "how soft the assignment to those is in training", minimum=LEAST_TEMPERATURE
    )
    straight_through: bool = setting(
        True, "in training only the gradients are of a soft assignment; false: the vectors too"
    )

    def __post_init__(self) -> None:
        if self.embedding_frozen and self.embedding_init == "learned":
            raise ValueError("embedding_frozen with embedding_init learned would keep random vectors; use codebook.")

    def uses_codebooks(self, spec: FeatureSpec) -> bool:
        """Whether a network of this input takes its vectors from the tokenizer's codebooks where there are any."""
        return spec.kind == "codes" and self.embedding_init in ("codebook", "auto")


class FrameNetworkConfig(Protocol):
    """The shape of a network that reads codes or features, as filters, checks and folders need it."""

    @property
    def input(self) -> InputConfig:
        """From codes or features to vectors."""

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """Frames that its losses see of `num_frames` frames of codes or features of `spec`, never below 0."""


class FrameNetwork(nn.Module):
    """A network whose input is codes (N, T, K) or features (N, T, D)."""

    input_embedding: InputEmbedding
    still_parts: Tuple[str, ...] = ()

    @property
    def parts(self) -> Tuple[str, ...]:
        """Names of what it is made of."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.state_dict()))

    def keep(self, parts: Sequence[str]) -> None:
        """Let some of its `parts` have the weights that they have; what adapts an encoder still learns.

        In training they are in evaluation mode: without dropout, and with the statistics that they have.
        Raises ValueError for a part that it does not have.
        """
        for part in parts:
            if part not in self.parts:
                raise ValueError(f"{part} cannot be kept: the network has the parts {', '.join(self.parts)}.")
        freeze(self, parts)
        self.still_parts = tuple(parts)
        self.train(self.training)

    def train(self: N, mode: bool = True) -> N:
        """As nn.Module's, but for parts that are kept."""
        super().train(mode)
        for part in self.still_parts if mode else ():
            hold_still(self.get_submodule(part))
        return self

    def load_trained(self, state: Mapping[str, Tensor], where: str) -> None:
        """Load the state dict of the checkpoint `where`. Raises ValueError, naming weights and shapes, for another."""
        load_strictly(self, state, where)


def build_input_embedding(
    config: InputConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]]
) -> InputEmbedding:
    """The module from codes or features of `spec` to vectors.

    Args:
      codebooks: the tokenizer's, K tensors (V_k, D_k), or None; used as `config.embedding_init` says.
    Raises:
      ValueError: if `embedding_init` is "codebook" and there are none, `learned_codes` are of codes, or
        `input_frame_rate_hz` asks for another rate of codes that have no constant one.
    """
    if spec.has_variable_rate and config.input_frame_rate_hz:
        raise ValueError(
            f"input_frame_rate_hz is {config.input_frame_rate_hz}, but '{spec.name}' has a variable rate, which cannot "
            "be matched; use --input-frame-rate-hz 0."
        )
    if config.learned_codes:
        if spec.kind != "continuous":
            raise ValueError(
                f"learned_codes is {config.learned_codes}, but '{spec.name}' are codes already; set it to 0."
            )
        return LearnedCodes(
            *(spec.feature_dim, config.embedding_dim, config.learned_codes),
            *(config.code_temperature, config.straight_through),
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
