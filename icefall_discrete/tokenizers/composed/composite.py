"""What tokenizers made of other feature types share: finding those, and the places of their fitted states."""

import copy
from abc import abstractmethod
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers import read_feature_conf
from icefall_discrete.tokenizers.contract import AudioPairs, SpeechTokenizer

MOST_PARTS = 32


class CompositeTokenizer(SpeechTokenizer):
    """A tokenizer of the codes of other tokenizers, its parts.

    A part is a feature type by name or path, looked for beside the file that names it, then where this one was. Its
    state lies in the sub-folder of its name; a state that it was fitted with elsewhere may be copied there before.
    """

    def __init__(
        self, name: str, config: Any, state_dir: Optional[Path] = None, conf_dirs: Sequence[Path] = ()
    ) -> None:
        """See SpeechTokenizer; `conf_dirs` are searched for the parts, before the package.

        Raises ValueError if a part is unknown or made of parts itself.
        """
        super().__init__(name, config, state_dir)
        named = self._part_types()
        if len(named) > MOST_PARTS:
            raise ValueError(f"feature type '{name}' names {len(named)} others, expected at most {MOST_PARTS}.")
        self._parts = tuple(self._make_part(feature_type, conf_dirs) for feature_type in named)

    @classmethod
    def make(cls, name: str, config: Any, state_dir: Optional[Path], conf_dirs: Sequence[Path]) -> SpeechTokenizer:
        """Make the tokenizer and its parts."""
        return cls(name, config, state_dir, conf_dirs)

    @abstractmethod
    def _part_types(self) -> Sequence[str]:
        """The feature types that the config names. ValueError if they cannot be right."""

    def _make_part(self, feature_type: str, conf_dirs: Sequence[Path]) -> SpeechTokenizer:
        found = read_feature_conf(feature_type, conf_dirs)
        if issubclass(found.tokenizer, CompositeTokenizer):
            raise ValueError(
                f"feature type '{self.name}' names '{found.name}', which is made of other feature types itself; "
                "name one that is not."
            )
        state_dir = None if self.state_dir is None else self.state_dir / found.name
        return found.tokenizer.make(found.name, found.config, state_dir, found.conf_dirs)

    @property
    def parts(self) -> Tuple[SpeechTokenizer, ...]:
        """The tokenizers of the feature types it names, in their order."""
        return self._parts

    @property
    def needs_language(self) -> bool:
        """Whether a part does."""
        return any(part.needs_language for part in self._parts)

    def in_language(self, language: Optional[str]) -> SpeechTokenizer:
        """See SpeechTokenizer: each part in this language."""
        if not self.needs_language:
            return self
        chosen = copy.copy(self)
        chosen._parts = tuple(part.in_language(language) for part in self._parts)
        return chosen

    @property
    def sample_rate_hz(self) -> int:
        """The highest of the parts'."""
        return max(part.sample_rate_hz for part in self._parts)

    def _fit_parts(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Fit the parts that need it and are not fitted yet, each in its sub-folder; `audio` is read for each."""
        for part in self._parts:
            if part.is_fitted:
                self._check_part(part.spec)
        for part in self._parts:
            if not part.is_fitted:
                part.fit(self._audio_for_fit(part, audio), Path(state_dir) / part.name, seed)
                self._check_part(part.spec)

    def _audio_for_fit(self, part: SpeechTokenizer, audio: AudioPairs) -> AudioPairs:
        """The audio as `part` reads it."""
        return audio

    def _check_part(self, spec: FeatureSpec) -> None:
        """Raise ValueError if a part gives something that this tokenizer cannot work with."""
        if spec.kind != "codes":
            raise ValueError(
                f"feature type '{self.name}' needs codes, but '{spec.name}' gives continuous features; "
                "name a feature type of codes."
            )

    def _part_specs(self) -> List[FeatureSpec]:
        """The parts' promises, checked. RuntimeError if a part is not fitted."""
        for part in self._parts:
            if not part.is_fitted:
                raise RuntimeError(
                    f"feature type '{self.name}' is not fitted (its part '{part.name}' has no state in "
                    f"{part.state_dir or 'any folder'}); run stage 2 first."
                )
        specs = [part.spec for part in self._parts]
        for spec in specs:
            self._check_part(spec)
        return specs

    def decode(self, codes: Tensor, code_lens: Tensor) -> Tensor:
        """Not supported: ValueError."""
        raise ValueError(f"{self.name} cannot be decoded as a whole; give a part's own codes to that part.")

    def _made_with(self) -> Dict[str, str]:
        merged = super()._made_with()
        for part in self._parts:
            merged.update(part.spec.made_with)
        return merged


def promise_of(spec: FeatureSpec) -> Dict[str, Any]:
    """What a part promises, for the provenance of the whole: rates, sizes and its own provenance."""
    return {
        "sample_rate_hz": spec.sample_rate_hz,
        "frame_rate_hz": spec.frame_rate_hz,
        "codebook_sizes": list(spec.codebook_sizes),
        "provenance": spec.provenance,
    }
