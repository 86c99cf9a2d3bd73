"""Log-mel filter banks, icefall's front end: the baseline of every results table, and the plainest of tokens.

On the CPU lhotse computes them; on a CUDA device kaldifeat, where it can be imported.
"""

import dataclasses
import functools
from typing import Any, Callable, ClassVar, Mapping, Optional

import torch
from torch import Tensor

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.audio.kaldi_features import WINDOW_SEC, has_kaldifeat, make_device_fbank, make_fbank, reach_of
from icefall_discrete.audio.spectrum_graph import KaldiSpectrum
from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.contract import Placement
from icefall_discrete.tokenizers.frames import FrameSource
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph


@dataclasses.dataclass(frozen=True)
class FbankSettings:
    """Log-mel filter banks."""

    num_mel_bins: int = setting(80, "Number of mel filters, the feature dimension.", minimum=3)
    frame_shift_sec: float = setting(
        0.01,
        "Hop between frames, in seconds: 0.01 gives 100 Hz; where frames are quantized, the default is 0.02.",
        minimum=0.001,
        maximum=1,
    )


class FbankFrames(FrameSource):
    """Frames (T, num_mel_bins), natural log of Kaldi-compatible mel energies, T = round(S / hop)."""

    Config = FbankSettings
    origin = "spectrum"
    libraries = ("lhotse",)
    quantized_defaults: ClassVar[Mapping[str, Any]] = {"frame_shift_sec": 0.02}

    def __init__(self, config: Any) -> None:
        """See FrameSource."""
        super().__init__(config)
        self._shape = (self.sample_rate_hz, config.frame_shift_sec, config.num_mel_bins)
        extractor = make_fbank(*self._shape)
        self._here: Callable[[Tensor], Tensor] = functools.partial(extractor.extract, sampling_rate=self.sample_rate_hz)
        self._extract: Callable[[Tensor], Tensor] = self._here

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
        """num_mel_bins."""
        return self.config.num_mel_bins

    @property
    def reach(self) -> Optional[Reach]:
        """Half of what a window has more than a hop, on each side: 7.5 ms at 100 Hz, 2.5 ms at 50 Hz."""
        return reach_of(self.sample_rate_hz, self.config.frame_shift_sec)

    def why_not_elsewhere(self) -> str:
        """See FrameSource; kaldifeat runs on a CUDA device."""
        return "" if has_kaldifeat() else super().why_not_elsewhere()

    def move(self, placement: Placement) -> None:
        """See FrameSource. Raises ValueError for other numbers than float32."""
        if placement.dtype != torch.float32:
            raise ValueError(f"filter banks are computed in float32, not {placement.dtype}; leave out dtype.")
        super().move(placement)
        on_device = placement.device.type == "cuda"
        self._extract = make_device_fbank(*self._shape, placement.device) if on_device else self._here

    def graph(self) -> FrameGraph:
        """See FrameSource."""
        return FrameGraph(KaldiSpectrum(make_fbank(*self._shape)))

    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        return self._extract(samples)
