"""Frame sources: from audio to vectors. One file a source, found by listing this folder; here is what each must be.

Letters: N utterances, S samples, T frames, D dimensions.
"""

import functools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Type

from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.base import registry
from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.weights import same_content
from icefall_discrete.tokenizers.contract import NO_NETWORK, Placement
from icefall_discrete.tokenizers.formats.pretrained import portable_name, sha256_of
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph, NotExported


class FrameSource(ABC):
    """Turns the samples (S,) of one utterance into frames (T, D).

    A source X makes two kinds of tokenizer: `X`, its frames as continuous features, and `X_Q`, their codes by the
    quantizer Q. Nothing large is read before it is needed.

    Class attributes a subclass sets:
      Config: frozen dataclass of its settings.
      origin: what the frames are, one of the contract's ORIGINS; empty if several sources say it.
      sample_rate_hz: of the audio it reads.
      runtime_settings: names of settings that cannot change the frames (threads ...), left out of the provenance.
      quantized_defaults: defaults, of its own settings or the quantizer's, that differ where frames are quantized.
    """

    Config: ClassVar[Type]
    origin: ClassVar[str] = ""
    sample_rate_hz: int = 16000
    runtime_settings: ClassVar[Tuple[str, ...]] = ()
    quantized_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, config: Any) -> None:
        """Take the settings, a `Config`."""
        self.config = config
        self.placement = Placement()

    @property
    def normalisation(self) -> str:
        """What is done to the samples first; the spec of continuous frames says so."""
        return "none"

    @property
    @abstractmethod
    def frame_rate_hz(self) -> float:
        """Frames a second."""

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """The shortest audio, in samples, that gives a frame."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension D of a frame; may read a model."""

    @abstractmethod
    def frames(self, samples: Tensor) -> Tensor:
        """Frames (T, D) float32 of one utterance (S,) on the CPU; the frames are where the source is."""

    def why_not_together(self) -> str:
        """Why utterances go through it one at a time, on every device; empty if `frames_together` takes several."""
        return "its frames are computed of one utterance at a time"

    def frames_together(self, samples: Sequence[Tensor]) -> List[Tensor]:
        """Frames (T_n, D) of utterances (S_n,), computed side by side; each equals `frames` but for float noise."""
        raise NotImplementedError(f"{type(self).__name__}: {self.why_not_together()}.")

    @property
    def reach(self) -> Optional[Reach]:
        """What a frame hears, so that frames can be made while the audio comes; None: the whole, or too much of it."""
        return None

    def graph(self) -> FrameGraph:
        """The same as a network, for exports. Raises NotExported if there is none."""
        kind = type(self).__module__.rpartition(".")[2]
        raise NotExported(f"frames of '{kind}' are not exported; known: fbank, mfcc, whisper.")

    @property
    def provenance(self) -> Dict[str, Any]:
        """What decides the frames beside the settings: hashes of models and the like."""
        return {}

    @property
    def libraries(self) -> Tuple[str, ...]:
        """Packages, besides torch, that it runs on, for `spec.made_with`."""
        return ()

    def why_not_elsewhere(self) -> str:
        """Why it runs on the CPU in float32 only; empty if it runs where and as `placement` says."""
        return NO_NETWORK

    def move(self, placement: Placement) -> None:
        """Run as `placement` says from now on."""
        self.placement = placement

    def description(self) -> Dict[str, Any]:
        """All that decides the frames, for the provenance: settings, hashes of weights."""
        settings = {key: value for key, value in to_dict(self.config).items() if key not in self.runtime_settings}
        return {**settings, **self.provenance}


class PretrainedFrames(FrameSource):
    """Frames of a pretrained model, read when first needed; `config` has the setting `model`.

    What is read lies in cached properties: a subclass names those that hold the model in `_read`.

    Class attributes a subclass sets:
      frame_rate_hz, min_samples: see FrameSource; both are known before the model is read.
    """

    origin = "encoder"
    frame_rate_hz: ClassVar[float]
    min_samples: ClassVar[int]
    _read: ClassVar[str] = "_model"

    @functools.cached_property
    @abstractmethod
    def files(self) -> List[Path]:
        """The files of weights; FileNotFoundError, in one sentence, if they cannot be had."""

    @functools.cached_property
    def provenance(self) -> Dict[str, Any]:
        """Name and hash of the model: all that identifies it on another machine."""
        return {
            "model": portable_name(self.config.model),
            "model_sha256": same_content(sha256_of(self.files)),
            "normalisation": self.normalisation,
        }

    def why_not_elsewhere(self) -> str:
        """See FrameSource; a model of torch runs anywhere."""
        return ""

    def move(self, placement: Placement) -> None:
        """See FrameSource; what was read before is read again."""
        super().move(placement)
        vars(self).pop(self._read, None)


def frame_source_modules() -> Dict[str, str]:
    """Dotted paths of the modules that hold a frame source, by its name."""
    return registry.modules_in(__name__)


def find_frame_source(name: str) -> Type[FrameSource]:
    """The frame source called `name`. Raises ValueError, listing the known ones, if there is none."""
    return registry.find_class(frame_source_modules(), name, FrameSource)
