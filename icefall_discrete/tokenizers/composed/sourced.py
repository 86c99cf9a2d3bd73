"""What tokenizers on one frame source have from it."""

from typing import Dict, Optional

from icefall_discrete.audio.as_it_comes import Reach
from icefall_discrete.tokenizers.contract import Placement, SpeechTokenizer, library_versions
from icefall_discrete.tokenizers.frames import FrameSource


class SourcedTokenizer(SpeechTokenizer):
    """A tokenizer whose frames come from `source`, which a subclass makes."""

    source: FrameSource

    @property
    def sample_rate_hz(self) -> int:
        """That of the source."""
        return self.source.sample_rate_hz

    @property
    def min_samples(self) -> int:
        """That of the source."""
        return self.source.min_samples

    @property
    def frame_rate_hz(self) -> float:
        """That of the source."""
        return self.source.frame_rate_hz

    @property
    def reach(self) -> Optional[Reach]:
        """That of the source: quantizers see a frame at a time."""
        return self.source.reach

    def why_not_elsewhere(self) -> str:
        """See SpeechTokenizer; that of the source."""
        return self.source.why_not_elsewhere()

    def _move(self, placement: Placement) -> None:
        super()._move(placement)
        self.source.move(placement)

    def _made_with(self) -> Dict[str, str]:
        return {**super()._made_with(), **library_versions(*self.source.libraries)}
