"""MFCC with derivatives: the teacher of HuBERT's first iteration.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447: 39 dimensions (13 MFCC, first and second derivatives). HuBERT takes
them every 10 ms; the default here is 20 ms, the rate of the frames of most models.
"""

import dataclasses
from typing import Any, Optional

from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.audio.kaldi_features import DELTA_WINDOW, WINDOW_SEC, Deltas, make_mfcc, reach_of, with_deltas
from icefall_discrete.audio.spectrum_graph import KaldiSpectrum
from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.frames import FrameSource
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph


@dataclasses.dataclass(frozen=True)
class MfccSettings:
    """MFCC with first and second derivatives."""

    num_ceps: int = setting(13, "Number of cepstral coefficients; a frame holds three times as many values.", minimum=1)
    frame_shift_sec: float = setting(0.02, "Hop between frames, in seconds.", minimum=0.001, maximum=1)


class MfccFrames(FrameSource):
    """MFCC, first and second derivatives (T, 3 num_ceps), T = round(S / hop)."""

    Config = MfccSettings
    origin = "spectrum"
    libraries = ("lhotse",)

    def __init__(self, config: Any) -> None:
        """See FrameSource."""
        super().__init__(config)
        self._extractor = make_mfcc(self.sample_rate_hz, config.frame_shift_sec, config.num_ceps)

    @property
    def frame_rate_hz(self) -> float:
        """1 / frame_shift_sec."""
        return round(1 / self.config.frame_shift_sec, 6)

    @property
    def min_samples(self) -> int:
        """One window."""
        return round(WINDOW_SEC * self.sample_rate_hz)

    @property
    def dim(self) -> int:
        """3 num_ceps."""
        return 3 * self.config.num_ceps

    @property
    def reach(self) -> Optional[Reach]:
        """Four frames on each side, of which derivatives of derivatives are made: 82.5 ms ahead at 50 Hz."""
        return reach_of(self.sample_rate_hz, self.config.frame_shift_sec, 2 * DELTA_WINDOW)

    def graph(self) -> FrameGraph:
        """See FrameSource."""
        return FrameGraph(KaldiSpectrum(self._extractor), Deltas())

    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        return with_deltas(self._extractor.extract(samples, self.sample_rate_hz))
