"""What a text is said by: its letters, or phones of espeak-ng; and from alignments, when each of them is said.

A text is a row of symbols: BEGIN, one for each letter or phone and for whatever stands between words, and END. Sounds
are those that are heard; the others (BEGIN, END, spaces, punctuation) are as long as the pauses where they stand, which
may be no time at all.
"""

import abc
import collections
import unicodedata
from typing import Deque, Dict, List, Optional, Sequence, Tuple

from icefall_discrete.text.alignments import Segment
from icefall_discrete.text.espeak import phones_of_words
from icefall_discrete.text.words import plain_spaces

BEGIN, END, SPACE = "<begin>", "<end>", " "
MARKERS = (BEGIN, END)
LETTERS, PHONES = "letters", "phones"
FRONTS = (LETTERS, PHONES)
_HEARD = ("L", "M", "N")  # categories of Unicode: letters, marks on them, numbers

Span = Tuple[float, float]


class Front(abc.ABC):
    """From texts to symbols."""

    name: str

    @abc.abstractmethod
    def symbols(self, text: str, language: str) -> List[str]:
        """The symbols (U,) of a text. Raises ValueError, the end of a sentence, if it has none."""

    @abc.abstractmethod
    def spans(self, text: str, language: str, segments: Sequence[Segment]) -> Optional[List[Optional[Span]]]:
        """When each symbol begins and ends, in seconds; None in place of one that is no sound.

        Args:
          segments: of letters, pieces or words, which together spell the text but for its case and what is no sound.
        Returns:
          None if they spell something else.
        """


class Letters(Front):
    """Each letter as it is written."""

    name = LETTERS

    def symbols(self, text: str, language: str) -> List[str]:
        """See Front."""
        require_sounds(text)
        return [BEGIN, *plain_spaces(text), END]

    def spans(self, text: str, language: str, segments: Sequence[Segment]) -> Optional[List[Optional[Span]]]:
        """See Front; the letters of a segment are equal parts of it."""
        found = _letter_spans(plain_spaces(text), segments)
        return None if found is None else [None, *found, None]


class Phones(Front):
    """Phones of each word, as espeak-ng says it by itself in the language of the text."""

    name = PHONES

    def __init__(self) -> None:
        self._said: Dict[Tuple[str, str], List[List[str]]] = {}

    def symbols(self, text: str, language: str) -> List[str]:
        """See Front. Raises ImportError if there is no espeak-ng."""
        require_sounds(text)
        words = self._phones(text, language)
        return [BEGIN, *(phone for number, word in enumerate(words) for phone in ([SPACE] * (number > 0) + word)), END]

    def spans(self, text: str, language: str, segments: Sequence[Segment]) -> Optional[List[Optional[Span]]]:
        """See Front; the phones of a word are equal parts of it."""
        letters = _letter_spans(plain_spaces(text), segments)
        if letters is None:
            return None
        found: List[Optional[Span]] = []
        place = 0
        phones = iter(self._phones(text, language))
        for word in plain_spaces(text).split():
            heard = [span for span in letters[place : place + len(word)] if span is not None]
            place += len(word) + 1
            if heard:
                found += [None, *_equal_parts(heard[0][0], heard[-1][1], len(next(phones)))]
        return [*found, None]

    def _phones(self, text: str, language: str) -> List[List[str]]:
        """Of each word in which something is heard."""
        if not language:
            raise ValueError("the language of the text is not known, which phones need; give it, or train on letters.")
        key = (plain_spaces(text), language)
        if key not in self._said:
            self._said[key] = phones_of_words([word for word in text.split() if any(map(is_sound, word))], language)
        return self._said[key]


def front_named(name: str) -> Front:
    """The front called `name`, one of FRONTS."""
    return Phones() if name == PHONES else Letters()


def is_sound(letter: str) -> bool:
    """Whether a letter is heard."""
    return unicodedata.category(letter)[0] in _HEARD


def require_sounds(text: str) -> None:
    """Raise ValueError, a sentence, if nothing of the text is heard."""
    if not any(map(is_sound, text)):
        shown = f"'{plain_spaces(text)}' has no letter" if text.strip() else "it is empty"
        raise ValueError(f"nothing of the text can be said: {shown}; give at least one word.")


def _equal_parts(begin: float, end: float, number: int) -> List[Span]:
    step = (end - begin) / max(1, number)
    return [(begin + place * step, begin + (place + 1) * step) for place in range(number)]


def _letter_spans(text: str, segments: Sequence[Segment]) -> Optional[List[Optional[Span]]]:
    """When each letter of the text is said; None if the segments spell another text."""
    times: Deque[Tuple[str, Span]] = collections.deque()
    for one in segments:
        letters = list(filter(is_sound, one.label.lower()))
        times += zip(letters, _equal_parts(one.begin_sec, one.end_sec, len(letters)))
    found: List[Optional[Span]] = []
    for letter in text:
        mine = []
        for lower in filter(is_sound, letter.lower()):
            spelled, span = times.popleft() if times else ("", (0.0, 0.0))
            if spelled != lower:
                return None
            mine.append(span)
        found.append((mine[0][0], mine[-1][1]) if mine else None)
    return None if times else found


def durations_of_spans(spans: Sequence[Optional[Span]], num_frames: int, frame_rate_hz: float) -> List[int]:
    """How many frames each symbol lasts (U,), 0 or more, `num_frames` together.

    What lies between two sounds is of the first symbol between them that is none, or else of the sound before.

    Args:
      spans: as Front gives them; the first and the last symbol are no sounds.
    """
    durations, taker, at = [0] * len(spans), 0, 0
    for place, span in enumerate(spans):
        if span is None:
            taker = place if place and spans[place - 1] is not None else taker
            continue
        begin, end = (min(max(round(sec * frame_rate_hz), at), num_frames) for sec in span)
        durations[taker] += begin - at
        durations[place] += end - begin
        taker, at = place, max(begin, end)
    durations[taker] += num_frames - at
    return durations
