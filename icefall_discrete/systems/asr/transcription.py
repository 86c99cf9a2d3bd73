"""What is found in an audio file: text, score, segments, and when each word and piece was emitted."""

import dataclasses
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.text.pieces import UNK_ID, TextEncoder
from icefall_discrete.text.words import WORD_START, joined_texts


@dataclasses.dataclass(frozen=True)
class TimedText:
    """A word or piece: from the encoder frame that emitted its first label to the end of that of its last label.

    Times are in seconds from the beginning of the file. A transducer may emit a label some frames late.
    """

    text: str
    start_sec: float
    end_sec: float


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a file that was recognised by itself; score: log-probability of the hypothesis, in nats.

    nbest: text and score of each hypothesis, best first, where more than one was asked for.
    language: what the model says it is, where its labels tell languages apart.
    """

    start_sec: float
    end_sec: float
    text: str
    score: float
    words: Tuple[TimedText, ...]
    tokens: Tuple[TimedText, ...]
    nbest: Tuple[Tuple[str, float], ...] = ()
    language: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """JSON-ready: start, end, text, score, and language and nbest if there are such; times in seconds."""
        values: Dict[str, Any] = {
            "start": _rounded(self.start_sec),
            "end": _rounded(self.end_sec),
            "text": self.text,
            "score": _rounded(self.score),
        }
        if self.language is not None:
            values["language"] = self.language
        if self.nbest:
            values["nbest"] = [{"text": text, "score": _rounded(score)} for text, score in self.nbest]
        return values


@dataclasses.dataclass(frozen=True)
class Transcription:
    """What was found in `file`; its text and score are those of the segments together."""

    file: str
    duration_sec: float
    segments: Tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The texts of the segments, with a space between them unless they are written without."""
        return joined_texts(segment.text for segment in self.segments)

    @property
    def score(self) -> float:
        """Log-probability in nats, the sum over segments."""
        return sum(segment.score for segment in self.segments)

    @property
    def words(self) -> Tuple[TimedText, ...]:
        """Words of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def tokens(self) -> Tuple[TimedText, ...]:
        """Pieces of all segments."""
        return tuple(token for segment in self.segments for token in segment.tokens)

    def to_json(self) -> Dict[str, Any]:
        """JSON-ready: file, duration, text, score, segments, words and tokens; times in seconds."""
        return {
            "file": self.file,
            "duration": _rounded(self.duration_sec),
            "text": self.text,
            "score": _rounded(self.score),
            "segments": [segment.to_json() for segment in self.segments],
            "words": [_timed_json("word", word) for word in self.words],
            "tokens": [_timed_json("token", token) for token in self.tokens],
        }


@dataclasses.dataclass(frozen=True)
class Failure:
    """A file that could not be transcribed, and the sentence that says why and names it."""

    file: str
    message: str

    def to_json(self) -> Dict[str, Any]:
        """JSON-ready: file and error."""
        return {"file": self.file, "error": self.message}


Outcome = Union[Transcription, Failure]


def _rounded(value: float) -> float:
    return round(value, 4)


def _timed_json(kind: str, timed: TimedText) -> Dict[str, Any]:
    return {kind: timed.text, "start": _rounded(timed.start_sec), "end": _rounded(timed.end_sec)}


def word_spans(labels: Sequence[int], text_encoder: TextEncoder) -> List[Tuple[str, int, int]]:
    """Words with the positions of their first and last label; in order they are the words of the decoded text."""
    pieces = text_encoder.pieces()
    tokens = set(text_encoder.language_tokens.values())
    groups: List[List[int]] = []
    spoken = [position for position, label in enumerate(labels) if label not in tokens]
    for before, position in zip([None, *spoken], spoken):
        # An unknown piece is decoded with spaces around it.
        begins = pieces[labels[position]].startswith(WORD_START) or labels[position] == UNK_ID
        if before is None or begins or labels[before] == UNK_ID:
            groups.append([])
        groups[-1].append(position)
    found = []
    for group in groups:
        word = text_encoder.decode([labels[position] for position in group]).strip()
        if word:
            found.append((word, group[0], group[-1]))
    return found


def make_segment(
    found: Sequence[Hypothesis], span_sec: Tuple[float, float], frame_sec: float, text_encoder: TextEncoder
) -> Segment:
    """The segment at `span_sec` (start, end) of a file, from the hypotheses for it, best first, at least one.

    Args:
      frame_sec: duration of an encoder frame, in seconds.
    """
    begin, end = span_sec
    hypothesis = found[0]

    def text_of(labels: Sequence[int]) -> str:
        return " ".join(text_encoder.decode(labels).split())

    def timed(text: str, first: int, last: int) -> TimedText:
        start = min(end, begin + hypothesis.timestamps[first] * frame_sec)
        return TimedText(text, start, min(end, begin + (hypothesis.timestamps[last] + 1) * frame_sec))

    pieces, silent = text_encoder.pieces(), set(text_encoder.language_tokens.values())
    spoken = [place for place, label in enumerate(hypothesis.labels) if label not in silent]
    return Segment(
        start_sec=begin,
        end_sec=end,
        text=text_of(hypothesis.labels),
        score=hypothesis.score,
        words=tuple(timed(*word) for word in word_spans(hypothesis.labels, text_encoder)),
        tokens=tuple(timed(pieces[hypothesis.labels[place]], place, place) for place in spoken),
        nbest=tuple((text_of(other.labels), other.score) for other in found) if len(found) > 1 else (),
        language=text_encoder.language_of(hypothesis.labels),
    )
