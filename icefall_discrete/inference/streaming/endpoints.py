"""Where an utterance ends in a stream: the three rules of Kaldi's online decoders, as icefall and sherpa have them."""

import dataclasses
from typing import Optional

from icefall_discrete.base.settings import check_settings, setting


@dataclasses.dataclass(frozen=True)
class EndpointConfig:
    """When an utterance of a stream ends; silence is encoder frames in which no label begins."""

    enable_endpoint: bool = setting(True, "divide streams into utterances")
    rule1_min_trailing_silence: float = setting(
        2.4, "rule 1: so much silence ends an utterance, even if nothing was said in it, in seconds", above=0
    )
    rule2_min_trailing_silence: float = setting(
        1.2, "rule 2: so much silence ends an utterance in which something was said, in seconds", above=0
    )
    rule3_min_utterance_length: float = setting(20.0, "rule 3: an utterance ends at this length, in seconds", above=0)
    reset_encoder: bool = setting(False, "the encoder, too, forgets at an endpoint what it heard before")

    def __post_init__(self) -> None:
        check_settings(self)

    def rule(self, silence_sec: float, length_sec: float) -> Optional[int]:
        """The first rule by which an utterance of `length_sec` ends, the last `silence_sec` of it silent; or None."""
        if not self.enable_endpoint:
            return None
        if silence_sec >= self.rule1_min_trailing_silence:
            return 1
        if length_sec > silence_sec >= self.rule2_min_trailing_silence:
            return 2
        return 3 if length_sec >= self.rule3_min_utterance_length else None
