"""Frames of wav2vec: its context, or the features of its encoder (networks/wav2vec.py)."""

import dataclasses
import functools
from pathlib import Path
from typing import List

from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames import PretrainedFrames
from icefall_discrete.tokenizers.networks.wav2vec import (
    FIELD_SAMPLES,
    SAMPLE_RATE_HZ,
    STRIDE_SAMPLES,
    Wav2VecModel,
    locate_wav2vec,
)

OUTPUTS = ("context", "encoder")


@dataclasses.dataclass(frozen=True)
class Wav2vecSettings:
    """Frames of wav2vec."""

    model: str = setting(
        "wav2vec_large.pt", "Checkpoint of wav2vec: a .pt file of fairseq, or ORG/NAME/FILE of the hub."
    )
    output: str = setting(
        "context", "What is taken: the context of the aggregator, or the encoder's features.", OUTPUTS
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a setting that cannot work."""
        if self.output not in OUTPUTS:
            raise ValueError(f"output is '{self.output}', expected {' or '.join(OUTPUTS)}.")


class Wav2vecFrames(PretrainedFrames):
    """Frames at 100 Hz, T = (S - 465) // 160 + 1: context c, or encoder features z, of wav2vec."""

    Config = Wav2vecSettings
    frame_rate_hz = SAMPLE_RATE_HZ / STRIDE_SAMPLES
    min_samples = FIELD_SAMPLES

    @functools.cached_property
    def files(self) -> List[Path]:
        """See FrameSource."""
        return locate_wav2vec(self.config.model)

    @functools.cached_property
    def _model(self) -> Wav2VecModel:
        model = Wav2VecModel(self.files[0])
        model.move(self.placement)
        return model

    @property
    def dim(self) -> int:
        """See FrameSource."""
        return self._model.context_dim if self.config.output == "context" else self._model.dim

    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        model = self._model
        return (model.context(samples) if self.config.output == "context" else model.features(samples)).contiguous()
