"""Frames and a quantizer: the codes of most papers, whatever the frames and whatever the quantizer."""

import collections
import copy
import dataclasses
import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Sized, Tuple, Type

import torch
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.names import did_you_mean
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.composed.sourced import SourcedTokenizer
from icefall_discrete.tokenizers.contract import (
    AudioPairs,
    AudioRejected,
    Placement,
    SpeechTokenizer,
    audio_by_language,
    library_versions,
)
from icefall_discrete.tokenizers.frames import FrameSource
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph
from icefall_discrete.tokenizers.quantizers import LanguageQuantizer, Quantizer

LOG = logging.getLogger(__name__)


class QuantizedTokenizer(SpeechTokenizer):
    """The codes (T, K) of frames by `self.quantizer`, which a subclass makes. It gives `frames` and `frame_rate_hz`."""

    quantizer: Quantizer
    # How a fit has the frames of many utterances computed, in order; None: one after the other in this process.
    compute_frames: Optional[Callable[[Iterable[Tensor]], Iterator[Tensor]]] = None

    @property
    @abstractmethod
    def frame_rate_hz(self) -> float:
        """Frames a second."""

    @abstractmethod
    def frames(self, samples: Tensor) -> Tensor:
        """Frames (T, D) float32 of one utterance (S,), where the quantizer is; what it quantizes."""

    def front_end(self) -> Dict[str, Any]:
        """All that decides what a code means, but the quantizer's state: settings, hashes of weights."""
        return {"tokenizer": self.tokenizer_name, **self._settings()}

    @property
    def needs_language(self) -> bool:
        """Whether the quantizer does."""
        return isinstance(self.quantizer, LanguageQuantizer)

    def in_language(self, language: Optional[str]) -> "SpeechTokenizer":
        """See SpeechTokenizer; networks and state are shared with this one."""
        if not isinstance(self.quantizer, LanguageQuantizer):
            return self
        chosen = copy.copy(self)
        chosen.quantizer = self.quantizer.in_language(language)
        return chosen

    @property
    def state_files(self) -> List[Path]:
        """Those of the quantizer."""
        return self.quantizer.state_files

    @property
    def is_fitted(self) -> bool:
        """Whether the quantizer is."""
        return self.quantizer.is_fitted

    @property
    def spec(self) -> FeatureSpec:
        """The quantizer's codebooks; the provenance holds the hash of its state. RuntimeError if not fitted."""
        sizes = self.quantizer.codebook_sizes
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=self.frame_rate_hz,
            num_codebooks=len(sizes),
            codebook_sizes=sizes,
            feature_dim=0,
            provenance={**self.front_end(), **self._precision(), **self.quantizer.provenance},
            made_with=self._made_with(),
        )

    def codebooks(self) -> Optional[List[Tensor]]:
        """Those of the quantizer."""
        return self.quantizer.codebooks()

    def _move(self, placement: Placement) -> None:
        self.quantizer.move(placement.device)

    def _made_with(self) -> Dict[str, str]:
        return {**super()._made_with(), **library_versions(*self.quantizer.libraries)}

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self.quantizer.quantize(self.frames(samples)).cpu()

    def fit(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Fit the quantizer on the frames of `audio` and write its state, whole or not at all.

        The result is a function of the audio and its order, the settings, the seed and the number of threads.

        Args:
          audio: pairs of samples (S,) float32 at `sample_rate_hz` and cut id, read once.
          state_dir: folder to write to; becomes the tokenizer's own.
        Raises:
          ValueError: for too little audio, or if the state is given by the settings.
        """
        if not self.needs_fit:
            super().fit(audio, state_dir, seed)
        if isinstance(self.quantizer, LanguageQuantizer):
            parts = audio_by_language(audio, self.name)
            frames = {language: self._frames_of(part) for language, part in parts.items()}
            self.quantizer.fit_by_language(frames, Path(state_dir), seed)
        else:
            self.quantizer.fit(self._frames_of(audio), Path(state_dir), seed)
        self.state_dir = Path(state_dir)

    def _frames_of(self, audio: Iterable[Tuple[Tensor, str]]) -> Iterator[Tensor]:
        samples = self._accepted(audio)
        return map(self.frames, samples) if self.compute_frames is None else self.compute_frames(samples)

    def _accepted(self, audio: Iterable[Tuple[Tensor, str]]) -> Iterator[Tensor]:
        rejected: collections.Counter = collections.Counter()
        total = len(audio) if isinstance(audio, Sized) else None
        for samples, cut_id in tqdm(audio, desc=f"frames for {self.name}", total=total, unit="cut"):
            try:
                self.check_audio(samples, f"cut {cut_id}")
            except AudioRejected as error:
                rejected[error.reason] += 1
                LOG.warning("left out of the fit: %s", error)
                continue
            yield samples
        if rejected:
            LOG.warning("%s: utterances left out of the fit: %s", self.name, dict(rejected))


@dataclasses.dataclass(frozen=True)
class QuantizedConfig:
    """A frame source and a quantizer by name, their classes, and the settings of each, `Config`s of those."""

    source: str
    source_class: Type[FrameSource]
    frames: Any
    method: str
    quantizer_class: Type[Quantizer]
    codes: Any

    @classmethod
    def read(
        cls,
        source: Tuple[str, Type[FrameSource]],
        quantizer: Tuple[str, Type[Quantizer]],
        values: Mapping[str, Any],
        where: str,
    ) -> "QuantizedConfig":
        """From the settings of a JSON file, each to the one that has it; an unknown one is an error that names `where`.

        source, quantizer: name and class.
        """
        taken = {field.name for field in dataclasses.fields(source[1].Config)}
        given = {field.name for field in dataclasses.fields(quantizer[1].Config)}
        if taken & given:
            raise ValueError(
                f"{source[0]} and {quantizer[0]} both have a setting {', '.join(sorted(taken & given))}; "
                "name one of them otherwise."
            )
        unknown = sorted(set(values) - taken - given)
        if unknown:
            meant = did_you_mean(unknown[0], taken | given)
            raise ValueError(
                f"{where}: unknown setting {', '.join(unknown)} for {source[0]}_{quantizer[0]}; "
                f"{f'{meant} ' if meant else ''}known settings: {', '.join(sorted(taken | given))}."
            )
        settings = {**source[1].quantized_defaults, **values}
        frames = {key: value for key, value in settings.items() if key in taken}
        codes = {key: value for key, value in settings.items() if key in given}
        return cls(
            *(*source, from_dict(source[1].Config, frames, where)),
            *(*quantizer, from_dict(quantizer[1].Config, codes, where)),
        )


class QuantizedFrames(SourcedTokenizer, QuantizedTokenizer):
    """The codes (T, K) of the frames of a frame source."""

    Config = QuantizedConfig
    needs_fit = True

    def __init__(self, name: str, config: QuantizedConfig, state_dir: Optional[Path] = None) -> None:
        """See SpeechTokenizer; models and the fitted state are read when they are first needed."""
        super().__init__(name, config, state_dir)
        self.source = config.source_class(config.frames)
        self.quantizer = config.quantizer_class(name, config.codes, self.state_dir, self.front_end)
        self.needs_fit = self.quantizer.needs_fit

    @property
    def tokenizer_name(self) -> str:
        """Those of the source and the quantizer."""
        return f"{self.config.source}_{self.config.method}"

    def frames(self, samples: Tensor) -> Tensor:
        """Frames (T, D) of the source."""
        return self.source.frames(samples)

    def why_not_together(self) -> str:
        """See SpeechTokenizer; that of the source."""
        return self.source.why_not_together()

    def encode_together(self, samples: Sequence[Tensor]) -> List[Tensor]:
        """See SpeechTokenizer."""
        frames = self.source.frames_together(samples)
        codes = self.quantizer.quantize(torch.cat(frames)).cpu()
        return list(codes.split([len(one) for one in frames]))

    def graph(self) -> FrameGraph:
        """See SpeechTokenizer."""
        return self.source.graph().then(self.quantizer.graph())

    def settings_to_save(self) -> Dict[str, Any]:
        """All settings of both."""
        return {**to_dict(self.config.codes), **to_dict(self.config.frames)}

    def _settings(self) -> Dict[str, Any]:
        return {**self.quantizer.description(), **self.source.description()}
