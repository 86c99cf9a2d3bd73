"""What every encoder offers. An encoder is a folder, whose name is its kind, with these files:

    config.py       its settings: one EncoderConfig
    encoder.py      one Encoder, made from them
    streaming.py    one StreamingEncoder, if it can stream

Letters: N utterances, T frames at the encoder's input, T' at its output, D dimension.
"""

import abc
from typing import Any, ClassVar, Dict, Generic, List, NamedTuple, Sequence, Tuple, TypeVar

from torch import Tensor, nn

from icefall_discrete.base import registry
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.scaling import Scheduled

S = TypeVar("S")
PACKAGE = "icefall_discrete.nn.encoders"


class EncoderOutput(NamedTuple):
    """encoder_out (N, T', D), lens (N,); inner: for each inner place asked for, its output (N, T_i, D_i) and lens."""

    encoder_out: Tensor
    lens: Tensor
    inner: List[Tuple[Tensor, Tensor]]


class Encoder(nn.Module, abc.ABC):
    """Maps vectors of a front end to encoder frames.

    Its constructor takes its settings. Law: what stands behind the end of an utterance in a padded batch reaches none
    of its frames, so that an utterance in a batch gives what it gives alone.
    """

    @abc.abstractmethod
    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode x (N, T, in_dim) with lens (N,); `inner` names inner places (layers, stacks) to be returned too."""


class StreamingEncoder(abc.ABC, Generic[S]):
    """Runs an encoder on one chunk of each of N streams, which may be at different positions; S is their state."""

    chunk_size: int

    @abc.abstractmethod
    def __init__(self, encoder: Encoder, chunk_size: int, left_context_frames: int) -> None:
        """Take an encoder in evaluation mode, and chunk_size and left_context_frames at the encoder's input."""

    @abc.abstractmethod
    def initial_state(self, num: int) -> S:
        """The state of `num` streams before their first chunk (nn/stream_state.py)."""

    @abc.abstractmethod
    def __call__(self, x: Tensor, lens: Tensor, state: S) -> Tuple[Tensor, Tensor, S]:
        """Encode the next chunk x (N, chunk_size, in_dim) with lens (N,); its output, lens, and the state after it."""

    def full_chunk(self, x: Tensor, state: S) -> Tuple[Tensor, S]:
        """`__call__` for chunks that are full in every stream; it looks at no numbers, so that it can be traced.

        Raises:
          ValueError: if the encoder offers no such thing.
        """
        raise ValueError(f"encoder {_kind_of(self)} cannot be exported for streams; export it for whole utterances.")


class EncoderConfig(abc.ABC):
    """Settings of an encoder, a frozen dataclass.

    may_begin_anew: modules of the encoder that do no harm with first weights where all others are of another training.
    """

    may_begin_anew: ClassVar[Tuple[str, ...]] = ()

    @property
    @abc.abstractmethod
    def in_dim(self) -> int:
        """Dimension of the vectors it takes."""

    @property
    @abc.abstractmethod
    def out_dim(self) -> int:
        """Dimension of the frames it gives."""

    @property
    @abc.abstractmethod
    def stride(self) -> int:
        """Input frames for one output frame."""

    @property
    @abc.abstractmethod
    def inner_dims(self) -> Sequence[int]:
        """Dimensions of the outputs of its inner places."""

    @property
    @abc.abstractmethod
    def input_dropout(self) -> Scheduled:
        """Dropout of the vectors that the front end gives it."""

    def frames_out(self, num_frames: Lens) -> Lens:
        """Output frames T' of T input frames."""
        return (num_frames + self.stride - 1) // self.stride


class EqualLayersConfig(EncoderConfig):
    """Settings of an encoder of equal layers, whose frames keep dimension and rate."""

    dim: int
    num_layers: int

    @property
    def in_dim(self) -> int:
        """Dimension of the frames."""
        return self.dim

    @property
    def out_dim(self) -> int:
        """Dimension of the frames."""
        return self.dim

    @property
    def stride(self) -> int:
        """1."""
        return 1

    @property
    def inner_dims(self) -> Tuple[int, ...]:
        """Dimension of each layer."""
        return (self.dim,) * self.num_layers


ENCODERS = registry.FolderKinds(PACKAGE, EncoderConfig)


def _modules(part: str) -> Dict[str, str]:
    return {kind: f"{PACKAGE}.{kind}.{part}" for kind in ENCODERS.names()}


def _kind_of(part: object) -> str:
    return type(part).__module__.split(".")[-2]


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder of these settings, with initial weights."""
    return registry.find_class(_modules("encoder"), _kind_of(config), Encoder)(config)


def streaming_encoder(encoder: Encoder, chunk_size: int, left_context_frames: int) -> StreamingEncoder[Any]:
    """The encoder, fed chunk by chunk; frames count at its input.

    Raises:
      ValueError: if it cannot be, or was not trained for it.
    """
    kind = _kind_of(encoder)
    if "streaming" not in registry.modules_in(f"{PACKAGE}.{kind}"):
        raise ValueError(f"encoder {kind} cannot stream; use one that can, such as zipformer or conformer with causal.")
    return registry.find_class(_modules("streaming"), kind, StreamingEncoder)(encoder, chunk_size, left_context_frames)
