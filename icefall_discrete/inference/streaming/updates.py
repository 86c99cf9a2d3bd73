"""What a stream has to say: the text of its utterance so far, and whether that is over."""

import dataclasses
from typing import Any, Dict, Optional, Tuple


@dataclasses.dataclass(frozen=True)
class Update:
    """The utterance that a stream is in, after another chunk.

    Times are in seconds: `start_sec` and `end_sec` of what was heard of it, from the start of the stream; `timestamps`,
    those of `tokens`, from `start_sec`. latency_sec: from the arrival of the audio that made the chunk whole to this.
    rule: the endpoint's, if one ended the utterance. is_eof: the stream is over, too.
    """

    segment: int
    text: str
    tokens: Tuple[str, ...]
    timestamps: Tuple[float, ...]
    start_sec: float
    end_sec: float
    latency_sec: float
    rule: Optional[int] = None
    is_eof: bool = False

    @property
    def is_final(self) -> bool:
        """Whether nothing of the text changes any more."""
        return self.is_eof or self.rule is not None

    def to_json(self) -> Dict[str, Any]:
        """JSON-ready, under the names that sherpa-onnx's servers and clients know, and our `end_time`, `latency`."""
        return {
            "text": self.text,
            "tokens": list(self.tokens),
            "timestamps": [round(second, 3) for second in self.timestamps],
            "segment": self.segment,
            "start_time": round(self.start_sec, 3),
            "end_time": round(self.end_sec, 3),
            "latency": round(self.latency_sec, 4),
            "is_final": self.is_final,
            "is_eof": self.is_eof,
        }
