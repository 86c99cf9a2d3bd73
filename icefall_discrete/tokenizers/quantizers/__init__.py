"""Quantizers: from vectors to codes. One file a quantizer, found by listing this folder; here is what each must be.

Letters: T frames, D dimensions, K codebooks, V entries of a codebook.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Generic, Iterable, List, Mapping, Optional, Tuple, Type, TypeVar

import torch
from torch import Tensor, nn

from icefall_discrete.base import registry
from icefall_discrete.base.settings import to_dict
from icefall_discrete.tokenizers.networks.frame_graph import NotExported

State = TypeVar("State")


class Quantizer(ABC):
    """Turns the frames (T, D) of one utterance into codes (T, K), as it learnt from the frames of many.

    It belongs to one feature type, whose name its messages and its files bear.

    Class attributes a subclass sets:
      Config: frozen dataclass of its settings; no name of a setting may be one of a frame source's.
      libraries: packages, besides torch, whose versions go to `spec.made_with`.
      fit_settings: names of settings that say how and from where it gets its state, not what a code means.
    """

    Config: ClassVar[Type]
    libraries: ClassVar[Tuple[str, ...]] = ()
    fit_settings: ClassVar[Tuple[str, ...]] = ()

    def __init__(
        self, name: str, config: Any, state_dir: Optional[Path], front_end: Callable[[], Dict[str, Any]]
    ) -> None:
        """Take the settings, a `Config`; the state is read when it is first needed.

        name: the feature type. state_dir: the folder of the fitted state, if any. front_end: says all that decides what
        a frame means, which a fitted state must agree with; it may read models.
        """
        self.name = name
        self.config = config
        self.state_dir = state_dir
        self.front_end = front_end
        self.device = torch.device("cpu")

    @property
    def needs_fit(self) -> bool:
        """Whether `fit` must have run before `quantize`."""
        return True

    @property
    @abstractmethod
    def state_files(self) -> List[Path]:
        """Files of the fitted state. RuntimeError if there is no folder for them."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether `quantize` can be used."""

    @property
    @abstractmethod
    def codebook_sizes(self) -> Tuple[int, ...]:
        """V of each of the K codebooks; known before `fit`."""

    @abstractmethod
    def quantize(self, frames: Tensor) -> Tensor:
        """Codes (T, K) int64 of frames (T, D) float32, both on `device`."""

    def graph(self) -> nn.Module:
        """`quantize` as a network, for exports. Raises NotExported if there is none."""
        kind = type(self).__module__.rpartition(".")[2]
        raise NotExported(f"codes by '{kind}' are not exported; known: kmeans, residual_kmeans.")

    @abstractmethod
    def fit(self, frames: Iterable[Tensor], state_dir: Path, seed: int) -> None:
        """Learn from `frames`, (T, D) float32 for each utterance, read once; write the state to `state_dir`.

        Memory must be bounded whatever the amount of frames; `state_dir` becomes its own.
        """

    @abstractmethod
    def codebooks(self) -> Optional[List[Tensor]]:
        """K tensors (V_k, D_k) float32 to set an embedding from, or None."""

    @property
    @abstractmethod
    def provenance(self) -> Dict[str, Any]:
        """What identifies the fitted state: hashes."""

    def description(self) -> Dict[str, Any]:
        """The settings that decide what a code means, but for the state itself, for the provenance."""
        return {key: value for key, value in to_dict(self.config).items() if key not in self.fit_settings}

    def move(self, device: torch.device) -> None:
        """Take frames on `device` from now on."""
        self.device = device


class QuantizerOfFile(Quantizer, Generic[State]):
    """A quantizer whose fitted state is one file in its folder, called `file_name`, and is read when first needed."""

    file_name: ClassVar[str]

    def __init__(
        self, name: str, config: Any, state_dir: Optional[Path], front_end: Callable[[], Dict[str, Any]]
    ) -> None:
        """See Quantizer."""
        super().__init__(name, config, state_dir, front_end)
        self._fitted: Optional[State] = None

    @property
    def state_path(self) -> Path:
        """Where the state is, or will be."""
        if self.state_dir is None:
            raise RuntimeError(f"feature type '{self.name}' needs fitting, but no state folder was given.")
        return self.state_dir / self.file_name

    @property
    def state_files(self) -> List[Path]:
        """The one file."""
        return [self.state_path]

    @property
    def is_fitted(self) -> bool:
        """Whether the file exists."""
        return self.state_dir is not None and self.state_path.is_file()

    def move(self, device: torch.device) -> None:
        """See Quantizer; the state is read again."""
        super().move(device)
        self._fitted = None

    def _state(self) -> State:
        """The state. RuntimeError if not fitted."""
        if self._fitted is None:
            if not self.is_fitted:
                where = f"{self.state_path} is missing" if self.state_dir else "no state folder was given"
                raise RuntimeError(f"feature type '{self.name}' is not fitted ({where}); run stage 2 first.")
            self._fitted = self._read_state()
        return self._fitted

    @abstractmethod
    def _read_state(self) -> State:
        """Read the file, onto `device`. Raises ValueError, saying what to do, for one of another tokenizer."""


class LanguageQuantizer(Quantizer):
    """A quantizer that learns from the frames of each language by itself, and gives codes to cuts of those."""

    @abstractmethod
    def fit_by_language(self, frames: Mapping[str, Iterable[Tensor]], state_dir: Path, seed: int) -> None:
        """As `fit`, from the frames of each language, one after the other."""

    @abstractmethod
    def in_language(self, language: Optional[str]) -> "LanguageQuantizer":
        """The same state, for frames in `language`. Raises ValueError, naming the known ones, if it knows no such."""

    def fit(self, frames: Iterable[Tensor], state_dir: Path, seed: int) -> None:
        """Not supported: ValueError."""
        raise ValueError(f"{self.name} learns from each language by itself; say which frames are in which.")


def quantizer_modules() -> Dict[str, str]:
    """Dotted paths of the modules that hold a quantizer, by its name."""
    return registry.modules_in(__name__)


def find_quantizer(name: str) -> Type[Quantizer]:
    """The quantizer called `name`. Raises ValueError, listing the known ones, if there is none."""
    return registry.find_class(quantizer_modules(), name, Quantizer)
