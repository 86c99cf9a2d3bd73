"""The frames of several sources side by side: with k-means on them, one codebook over several models.

The multi-view codebook of Sukhadia and Chowdhury 2024, https://arxiv.org/abs/2406.13431 (HuBERT and WavLM); how the
frames are joined is not said there. Sources of different scale need `standardize` of k-means, else the one with the
largest values decides alone; a source of twice the dimensions still weighs twice.
"""

import dataclasses
from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach, widest
from icefall_discrete.base.rate_matching import match_rate, rate_ratio
from icefall_discrete.base.settings import KIND, from_dict, setting
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.frames import FrameSource, find_frame_source

MOST_SOURCES = 32
ALIGNMENT = "nearest neighbour to the highest rate, then cut to the shortest source"


@dataclasses.dataclass(frozen=True)
class ConcatSettings:
    """Frames of several sources side by side."""

    sources: Tuple[Dict[str, Any], ...] = setting(
        (), 'The sources in their order, each an object {"kind": NAME, its settings}.'
    )

    def __post_init__(self) -> None:
        """Raise ValueError unless there are several sources that name themselves."""
        if not 2 <= len(self.sources) <= MOST_SOURCES:
            raise ValueError(f"sources has {len(self.sources)} entries, expected 2 to {MOST_SOURCES}.")
        for place, values in enumerate(self.sources):
            if not isinstance(values, Mapping) or not isinstance(values.get(KIND), str):
                raise ValueError(
                    f"entry {place} of sources is {values!r}, expected an object with the name of a frame source as "
                    f"its `{KIND}`."
                )


def make_source(values: Mapping[str, Any]) -> FrameSource:
    """The source of an entry {"kind": NAME, its settings}; ValueError for an unknown name or setting."""
    settings = dict(values)
    name = settings.pop(KIND)
    cls = find_frame_source(name)
    return cls(from_dict(cls.Config, settings, f"source '{name}' of `sources`"))


class ConcatFrames(FrameSource):
    """Frames (T, D), D = the sum of the sources' D.

    Rate: the highest of the sources'. A slower source is repeated by nearest neighbour (frame j is its frame
    floor(j x its rate / the highest)). Where sources end at different frames, all are cut to the shortest.
    """

    Config = ConcatSettings
    quantized_defaults: ClassVar[Mapping[str, Any]] = {"standardize": True}

    def __init__(self, config: Any) -> None:
        """See FrameSource. Raises ValueError for sources that read audio at different rates."""
        super().__init__(config)
        self._sources = [make_source(values) for values in config.sources]
        rates = [source.sample_rate_hz for source in self._sources]
        if len(set(rates)) > 1:
            raise ValueError(
                f"the sources read audio at {', '.join(str(rate) for rate in rates)} Hz, expected one rate; "
                "name sources that hear the same audio."
            )
        self.sample_rate_hz = rates[0]

    @property
    def frame_rate_hz(self) -> float:
        """The highest of the sources'."""
        return max(source.frame_rate_hz for source in self._sources)

    @property
    def min_samples(self) -> int:
        """What is enough for every source."""
        return max(source.min_samples for source in self._sources)

    @property
    def dim(self) -> int:
        """The sum of the sources'."""
        return sum(source.dim for source in self._sources)

    @property
    def provenance(self) -> Dict[str, Any]:
        """What each source is, and how their frames are matched."""
        names = [values[KIND] for values in self.config.sources]
        sources = {f"{place}_{names[place]}": source.description() for place, source in enumerate(self._sources)}
        return {"sources": sources, "alignment": ALIGNMENT}

    @property
    def libraries(self) -> Tuple[str, ...]:
        """Those of the sources."""
        return tuple(dict.fromkeys(library for source in self._sources for library in source.libraries))

    @property
    def reach(self) -> Optional[Reach]:
        """The widest of the sources', if they have the same hop."""
        return widest([source.reach for source in self._sources])

    def why_not_elsewhere(self) -> str:
        """See FrameSource; the first reason of a source."""
        return next((reason for reason in (source.why_not_elsewhere() for source in self._sources) if reason), "")

    def move(self, placement: Placement) -> None:
        """See FrameSource."""
        for source in self._sources:
            source.move(placement)
        super().move(placement)

    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        streams = []
        for source in self._sources:
            frames = source.frames(samples)[None]
            ratio = rate_ratio(self.frame_rate_hz, source.frame_rate_hz)
            streams.append(match_rate(frames, torch.tensor([frames.shape[1]]), ratio)[0][0])
        shortest = min(len(stream) for stream in streams)
        return torch.cat([stream[:shortest] for stream in streams], dim=1)
