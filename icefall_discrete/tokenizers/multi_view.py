"""Several feature types as parallel streams of one cut: the multi-view tokens of https://arxiv.org/abs/2406.13431.

There the features of two models share one codebook, which is `concat_kmeans` here (frames/concat.py). This one leaves
each view its tokenizer and its codebooks, and the model combines the streams (nn/code_embedding.py). The short form of
a feature type of this kind is `NAME+NAME`.
"""

import dataclasses
import math
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
from lhotse.augmentation.torchaudio import get_or_create_resampler
from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach, widest
from icefall_discrete.base.rate_matching import match_rate, rate_ratio
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.composed.composite import CompositeTokenizer, promise_of
from icefall_discrete.tokenizers.contract import AudioPairs, SpeechTokenizer, audio_by_language

ALIGNMENT = "nearest neighbour to the highest rate, then cut to the shortest view"


@dataclasses.dataclass(frozen=True)
class MultiViewConfig:
    """Feature types as streams of one cut."""

    views: Tuple[str, ...] = setting((), "Feature types of codes, names or paths, in the order of their streams.")


class MultiViewTokenizer(CompositeTokenizer):
    """The codes of every view side by side, K = the sum of the views' K.

    Rate: the highest of the views. A slower view is repeated by nearest neighbour, as the model's rate matching does
    (frame j is its frame floor(j x its rate / the highest)), by an integer or a rational ratio. Where views end at
    different frames, all are cut to the shortest. Audio is read at the highest of the views' sample rates, and is
    resampled from it for a view that wants another.
    """

    Config = MultiViewConfig

    def __init__(
        self, name: str, config: Any, state_dir: Optional[Path] = None, conf_dirs: Sequence[Path] = ()
    ) -> None:
        """See CompositeTokenizer."""
        super().__init__(name, config, state_dir, conf_dirs)
        names = [view.name for view in self.parts]
        repeated = next((view for view in names if names.count(view) > 1), None)
        if repeated is not None:
            raise ValueError(f"feature type '{name}' names the view '{repeated}' twice; name each view once.")
        self.needs_fit = any(view.needs_fit for view in self.parts)

    def _part_types(self) -> Sequence[str]:
        if len(self.config.views) < 2:
            raise ValueError(
                f"feature type '{self.name}' has {len(self.config.views)} views, expected at least 2; "
                "set `views` to names of feature types, or use the one feature type itself."
            )
        return self.config.views

    @property
    def is_fitted(self) -> bool:
        """Whether every view is."""
        return all(view.is_fitted for view in self.parts)

    @property
    def min_samples(self) -> int:
        """What is enough for every view."""
        return max(math.ceil(view.min_samples * self._slowdown(view)) for view in self.parts)

    @property
    def max_samples(self) -> Optional[int]:
        """What is not too much for any view."""
        limits = [(view.max_samples, self._slowdown(view)) for view in self.parts if view.max_samples is not None]
        return min((math.floor(limit * slowdown) for limit, slowdown in limits), default=None)

    @property
    def reach(self) -> Optional[Reach]:
        """The widest of the views', if they hear the same audio and have the same hop."""
        same = len({view.sample_rate_hz for view in self.parts}) == 1
        return widest([view.reach for view in self.parts]) if same else None

    def _slowdown(self, view: SpeechTokenizer) -> Fraction:
        """Samples of this tokenizer's audio for one of the view's."""
        return Fraction(self.sample_rate_hz, view.sample_rate_hz)

    def _check_part(self, spec: FeatureSpec) -> None:
        super()._check_part(spec)
        if spec.has_variable_rate:
            raise ValueError(
                f"feature type '{self.name}': the view '{spec.name}' has a variable rate, so its frames have no "
                "counterpart in another view; name views of constant rates."
            )

    @property
    def spec(self) -> FeatureSpec:
        """The views' codebooks in their order. RuntimeError if a view is not fitted."""
        specs = self._part_specs()
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=max(spec.frame_rate_hz for spec in specs),
            num_codebooks=sum(spec.num_codebooks for spec in specs),
            codebook_sizes=tuple(size for spec in specs for size in spec.codebook_sizes),
            feature_dim=0,
            provenance={
                "tokenizer": self.tokenizer_name,
                "order": [spec.name for spec in specs],
                "alignment": ALIGNMENT,
                "views": {spec.name: promise_of(spec) for spec in specs},
            },
            made_with=self._made_with(),
        )

    def codebooks(self) -> Optional[List[Tensor]]:
        """Those of the views, one after the other; None if a view has none."""
        found: List[Tensor] = []
        for view in self.parts:
            books = view.codebooks()
            if books is None:
                return None
            found += books
        return found

    def fit(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Fit each view that needs it and is not fitted; `audio` is read once for each of them."""
        if not self.needs_fit:
            super().fit(audio, state_dir, seed)
        self._fit_parts(audio, state_dir, seed)
        self.state_dir = Path(state_dir)

    def _audio_for_fit(self, part: SpeechTokenizer, audio: AudioPairs) -> AudioPairs:
        return _ResampledAudio(audio, self.sample_rate_hz, part.sample_rate_hz, part.name)

    def settings_to_save(self) -> Dict[str, Any]:
        """The views by name: their own files lie beside."""
        return {"views": [view.name for view in self.parts]}

    def _encode_one(self, samples: Tensor) -> Tensor:
        rate = max(view.spec.frame_rate_hz for view in self.parts)
        streams = []
        for view in self.parts:
            heard = resampled(samples, self.sample_rate_hz, view.sample_rate_hz)
            codes, lens = view.encode(heard.unsqueeze(0), torch.tensor([len(heard)]))
            streams.append(match_rate(codes, lens, rate_ratio(rate, view.spec.frame_rate_hz))[0][0])
        shortest = min(len(stream) for stream in streams)
        return torch.cat([stream[:shortest] for stream in streams], dim=1)


def resampled(samples: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Samples (S,) at another rate, by the resampler that the cuts are loaded with."""
    return samples if from_hz == to_hz else get_or_create_resampler(from_hz, to_hz)(samples)


class _ResampledAudio:
    """Pairs of samples and cut id, as `fit` takes them, at another rate; may be read several times."""

    def __init__(self, audio: AudioPairs, from_hz: int, to_hz: int, name: str) -> None:
        """`name` is the feature type that is fitted."""
        self._audio = audio
        self._rates = (from_hz, to_hz)
        self._name = name

    def __len__(self) -> int:
        return len(self._audio)

    def __iter__(self) -> Iterator[Tuple[Tensor, str]]:
        for samples, cut_id in self._audio:
            yield resampled(samples, *self._rates), cut_id

    def by_language(self) -> Mapping[str, AudioPairs]:
        """The same of the audio of each language."""
        parts = audio_by_language(self._audio, self._name)
        return {language: _ResampledAudio(part, *self._rates, self._name) for language, part in parts.items()}
