"""What tokenizers on the frames of a pretrained encoder share: continuous frames, or k-means on them.

Letters: S samples, T frames, D dimensions.
"""

import functools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Tuple

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.contract import Placement, SpeechTokenizer, library_versions
from icefall_discrete.tokenizers.formats.pretrained import portable_name, sha256_of
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansTokenizer


class FrameEncoder(ABC):
    """A pretrained encoder, read when first needed.

    Class attributes a subclass sets:
      frame_rate_hz: frames a second. min_samples: the shortest audio that gives a frame.
    """

    frame_rate_hz: ClassVar[float]
    min_samples: ClassVar[int]

    def __init__(self, config: Any) -> None:
        """Nothing is read yet; `config` has the setting `model`."""
        self.config = config
        self.placement = Placement()

    def why_not_elsewhere(self) -> str:
        """Why it runs on the CPU in float32 only; empty if it runs where and as `placement` says."""
        return "it reads its model as it is"

    def move(self, placement: Placement) -> None:
        """Run as `placement` says from now on; what was read before is read again."""
        self.placement = placement
        for name in ("_loaded", "_model", "_encoder"):
            vars(self).pop(name, None)

    @property
    def libraries(self) -> Tuple[str, ...]:
        """Packages, besides torch, that run it."""
        return ()

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension D of a frame; reads the model."""

    @functools.cached_property
    @abstractmethod
    def files(self) -> List[Path]:
        """The files of weights; FileNotFoundError, in one sentence, if they cannot be had."""

    @property
    @abstractmethod
    def normalisation(self) -> str:
        """What is done to the samples first, for the provenance."""

    @abstractmethod
    def __call__(self, samples: Tensor) -> Tensor:
        """Frames (T, D) float32 of one utterance (S,) on the CPU; the frames are where the model is."""

    @functools.cached_property
    def provenance(self) -> Dict[str, Any]:
        """Name and hash of the model: all that identifies it on another machine."""
        return {
            "model": portable_name(self.config.model),
            "model_sha256": sha256_of(self.files),
            "normalisation": self.normalisation,
        }


class _OnEncoder(SpeechTokenizer):
    """A tokenizer with a FrameEncoder."""

    Encoder: ClassVar[type]

    def __init__(self, name: str, config: Any, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; the model is read when it is first needed."""
        super().__init__(name, config, state_dir)
        self._encoder = self.Encoder(config)

    @property
    def min_samples(self) -> int:
        """That of the encoder."""
        return self._encoder.min_samples

    def _settings(self) -> Dict[str, Any]:
        return {**super()._settings(), **self._encoder.provenance}

    def _made_with(self) -> Dict[str, str]:
        return {**super()._made_with(), **library_versions(*self._encoder.libraries)}

    def why_not_elsewhere(self) -> str:
        """See SpeechTokenizer; that of the encoder."""
        return self._encoder.why_not_elsewhere()

    def _move(self, placement: Placement) -> None:
        self._encoder.move(placement)


class EncoderTokenizer(_OnEncoder):
    """The frames (T, D) of a FrameEncoder."""

    @property
    def spec(self) -> FeatureSpec:
        """Continuous frames; reads the model, for its dimension and hash."""
        return FeatureSpec(
            name=self.name,
            kind="continuous",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=self._encoder.frame_rate_hz,
            num_codebooks=0,
            codebook_sizes=(),
            feature_dim=self._encoder.dim,
            provenance={
                "tokenizer": type(self).__module__.rpartition(".")[2],
                **self._settings(),
                **self._precision(),
            },
            made_with=self._made_with(),
        )

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._encoder(samples).cpu()


class EncoderKmeansTokenizer(_OnEncoder, KmeansTokenizer):
    """One code a frame of a FrameEncoder."""

    @property
    def frame_rate_hz(self) -> float:
        """That of the encoder."""
        return self._encoder.frame_rate_hz

    def frames(self, samples: Tensor) -> Tensor:
        """Frames (T, D)."""
        return self._encoder(samples)

    def _move(self, placement: Placement) -> None:
        super()._move(placement)
        self._fitted = None
