"""The frames of a frame source as continuous features: the baseline, and what a quantizer on them reaches at best."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Type

from torch import Tensor

from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.composed.sourced import SourcedTokenizer
from icefall_discrete.tokenizers.frames import FrameSource
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph


@dataclasses.dataclass(frozen=True)
class ContinuousConfig:
    """A frame source by name, its class, and its settings, a `Config` of that class."""

    source: str
    source_class: Type[FrameSource]
    frames: Any

    @classmethod
    def read(
        cls, source: str, source_class: Type[FrameSource], values: Mapping[str, Any], where: str
    ) -> "ContinuousConfig":
        """From the settings of a JSON file; an unknown one is an error that names `where`."""
        return cls(source, source_class, from_dict(source_class.Config, values, where))


class ContinuousFrames(SourcedTokenizer):
    """The frames (T, D) of a frame source."""

    Config = ContinuousConfig

    def __init__(self, name: str, config: ContinuousConfig, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; a model is read when it is first needed."""
        super().__init__(name, config, state_dir)
        self.source = config.source_class(config.frames)

    @property
    def tokenizer_name(self) -> str:
        """That of the source."""
        return self.config.source

    @property
    def spec(self) -> FeatureSpec:
        """Continuous frames; reads the model, if there is one, for its dimension and hash."""
        return FeatureSpec(
            name=self.name,
            kind="continuous",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=self.frame_rate_hz,
            num_codebooks=0,
            codebook_sizes=(),
            feature_dim=self.source.dim,
            provenance={
                "tokenizer": self.tokenizer_name,
                **self.source.description(),
                "normalisation": self.source.normalisation,
                **self._precision(),
            },
            made_with=self._made_with(),
        )

    def graph(self) -> FrameGraph:
        """See SpeechTokenizer."""
        return self.source.graph()

    def settings_to_save(self) -> Dict[str, Any]:
        """The source's settings."""
        return to_dict(self.config.frames)

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self.source.frames(samples).cpu()
