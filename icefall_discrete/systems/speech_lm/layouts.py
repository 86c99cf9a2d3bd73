r"""What stands where in a sequence of text and speech: layouts, lines of data.

A layout is a line such as `asr={speech}{answer}{text}<eos>`: the name of a task, and what a sequence of it holds. In
braces stand `speech` (`<sosp>`, the codes, `<eosp>`), facts of the utterance (`text`, `language`, `speaker`, ...),
`speech:NAME`, a fact that holds other codes, written as vocabulary.py says, and once `answer`: what is behind it is
learnt, and what is before it is asked with. At the very beginning may stand `voice`, the vector of the speaker. All
else is written as vocabulary.py says. A layout ends with a mark, with which an answer ends. An answer in text may go on
in speech: it is said one after the other (chain of modality).

SpeechGPT's turns: `asr=[Human]: This is a speech: {speech}<eoh> [SpeechGPT]: {answer}{text}<eoa>`.
"""

import dataclasses
import re
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.names import known_names
from icefall_discrete.data.targets.voice_vectors import SPEAKER, VoiceVectors
from icefall_discrete.systems.speech_lm.vocabulary import MARKS, SPEECH, SPEECH_END, Vocabulary

ANSWER, HEARD, SAID, VOICE = "answer", "speech", "text", "voice"
_FIELD = re.compile(r"\{(\w+|speech:\w+)\}")
_OTHER = f"{HEARD}:"  # before the name of a fact that holds codes
DEFAULT = (
    "asr={speech}{answer}{text}<eos>",
    "tts={text}{answer}{speech}<eos>",
    "continue={answer}{speech}<eos>",
)


class Laid(NamedTuple):
    """A sequence: its ids, and at which of them the answer begins."""

    ids: List[int]
    answer: int


class Utterances(NamedTuple):
    """Names, facts and codes (T, K) of utterances."""

    names: List[str]
    facts: Sequence[Mapping[str, Any]]
    codes: List[Tensor]


class AnswerRule(NamedTuple):
    """How a part of an answer is said.

    choosable: ids that may stand at its steps, (P, V) bool, step s as row s mod P. stop: its end. least: the steps
    before it cannot be its end.
    """

    choosable: Tensor
    stop: int
    least: int = 0


@dataclasses.dataclass(frozen=True)
class Layout:
    """One task: its name, and parts, pairs of whether it is a field, and its name or what is written."""

    name: str
    parts: Tuple[Tuple[bool, str], ...]

    @property
    def answers_with(self) -> str:
        """The first field of the answer: `speech`, `text`."""
        fields = [value for is_field, value in self.parts if is_field]
        return fields[fields.index(ANSWER) + 1]

    @property
    def speaks(self) -> bool:
        """Whether its answer ends in speech."""
        place = self.parts.index((True, ANSWER))
        return any(is_field and _is_speech(value) for is_field, value in self.parts[place:])

    @property
    def asks_with_text(self) -> bool:
        """Whether a transcript stands before the answer."""
        return (True, SAID) in self.parts[: self.parts.index((True, ANSWER))]

    @property
    def begins_with_voice(self) -> bool:
        """Whether the vector of the speaker stands before all else."""
        return self.parts[0] == (True, VOICE)

    @property
    def needs_text(self) -> bool:
        """Whether utterances without a transcript cannot be of this task."""
        return (True, SAID) in self.parts

    def of(self, facts: Mapping[str, Any], codes: Tensor, vocabulary: Vocabulary) -> Laid:
        """The sequence of an utterance with these facts and codes (T, K). ValueError for a fact that is not known."""
        ids: List[int] = []
        answer = 0
        for is_field, value in self.parts:
            if not is_field:
                ids += vocabulary.read(value)
            elif value == ANSWER:
                answer = len(ids)
            elif value == VOICE:
                pass  # no id, but a vector beside the first step
            elif value == HEARD:
                marks = vocabulary.mark(SPEECH), vocabulary.mark(SPEECH_END)
                ids += [marks[0], *vocabulary.unit_ids(codes), marks[1]]
            elif _is_speech(value):
                ids += _written_speech(facts, value, self.name, vocabulary)
            else:
                ids += vocabulary.text.ids(fact_named(facts, value, self.name))
        return Laid(ids, answer)

    def asked(self, facts: Mapping[str, Any], codes: Tensor, vocabulary: Vocabulary) -> List[int]:
        """What is before the answer, as `of`; an answer in speech has begun."""
        place = self.parts.index((True, ANSWER))
        ids = dataclasses.replace(self, parts=self.parts[: place + 1]).of(facts, codes, vocabulary).ids
        return [*ids, vocabulary.mark(SPEECH)] if self.answers_with == HEARD else ids

    def rules(self, vocabulary: Vocabulary) -> Tuple[AnswerRule, ...]:
        """How its answer is said: codes in the order of the codebooks; or a text, and codes behind if it `speaks`."""
        stop = vocabulary.mark(SPEECH_END)
        rows = torch.zeros(len(vocabulary.codebook_sizes), vocabulary.size + 1, dtype=torch.bool)
        for row, start, size in zip(rows, vocabulary.starts, vocabulary.codebook_sizes):
            row[start : start + size] = True
        rows[0, stop] = True
        spoken = AnswerRule(rows, stop)
        if self.answers_with == HEARD:
            return (spoken,)
        behind = vocabulary.read(self.parts[-1][1])
        last = next(one for one in behind if one >= vocabulary.first_mark)
        stop = vocabulary.mark(SPEECH) if self.speaks else last
        rows = torch.zeros(1, vocabulary.size + 1, dtype=torch.bool)
        rows[0, torch.tensor(vocabulary.text.sayable)] = True
        rows[0, stop] = True
        return (AnswerRule(rows, stop), spoken) if self.speaks else (AnswerRule(rows, stop),)


def _is_speech(field: str) -> bool:
    return field == HEARD or field.startswith(_OTHER)


def _written_speech(facts: Mapping[str, Any], field: str, task: str, vocabulary: Vocabulary) -> List[int]:
    name, marks = field[len(_OTHER) :], (vocabulary.mark(SPEECH), vocabulary.mark(SPEECH_END))
    try:
        ids = [one for one in vocabulary.read(fact_named(facts, name, task)) if one not in marks]
        if not all(one >= vocabulary.first_unit for one in ids):
            raise ValueError("there is more than codes in it, expected such as <12><400>.")
        return [marks[0], *vocabulary.unit_ids(vocabulary.units_of(ids)), marks[1]]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def fact_named(facts: Mapping[str, Any], name: str, task: str) -> str:
    """A fact that the layout of a task has. Raises ValueError, the end of a sentence about it, if it is not known."""
    if facts.get(name) is None:
        known = ", ".join(sorted(fact for fact, value in facts.items() if value is not None)) or "nothing"
        raise ValueError(
            f"its {name} is not known (known: {known}), which the layout of {task} has; give it, or another layout."
        )
    return str(facts[name])


def read_layout(line: str, vocabulary: Vocabulary) -> Layout:
    """A layout from its line. Raises ValueError, a sentence that names the line, if it is none."""
    name, sign, rest = line.partition("=")
    pieces = _FIELD.split(rest)
    parts = tuple((place % 2 == 1, piece) for place, piece in enumerate(pieces) if piece)
    fields = [value for is_field, value in parts if is_field]
    what = f"layout '{line}'"
    if not sign or not name.isidentifier():
        raise ValueError(f"{what} has no name before '=', expected such as {DEFAULT[0]}.")
    if fields.count(ANSWER) != 1 or fields[-1] == ANSWER:
        raise ValueError(f"{what} has {fields.count(ANSWER)} times {{{ANSWER}}}, expected once, and a field behind it.")
    if VOICE in fields and (parts[0] != (True, VOICE) or fields.count(VOICE) > 1 or fields[1] == VOICE):
        raise ValueError(f"{what} has {{{VOICE}}} elsewhere than at its beginning, where alone it may stand, once.")
    spoken = [place for place, value in enumerate(fields) if _is_speech(value) and place > fields.index(ANSWER)]
    if len(spoken) > 1 or (spoken and spoken[0] != len(fields) - 1):
        raise ValueError(f"{what} goes on behind the speech of its answer; let that be its last field.")
    try:
        written = [vocabulary.read(value) for is_field, value in parts if not is_field]
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    if parts[-1][0] or written[-1][-1] < vocabulary.first_mark:
        raise ValueError(f"{what} does not end with a mark; let it end with one of {', '.join(MARKS)}.")
    return Layout(name, parts)


def read_layouts(lines: Sequence[str], vocabulary: Vocabulary) -> Tuple[Layout, ...]:
    """All layouts. Raises ValueError as `read_layout`, and if there is none, or two of one name."""
    found = tuple(read_layout(line, vocabulary) for line in lines)
    names = [one.name for one in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(f"layouts are of the tasks {', '.join(names) or 'none'}, expected one or more, each once.")
    return found


def layout_named(layouts: Sequence[Layout], name: str) -> Layout:
    """The layout of a task. Raises ValueError, with the known ones, if there is none."""
    for one in layouts:
        if one.name == name:
            return one
    raise ValueError(f"there is no layout of task '{name}'; {known_names([one.name for one in layouts], name)}")


def voices_of(layouts: Sequence[Layout], every: Utterances, voices: Optional[VoiceVectors]) -> Optional[Tensor]:
    """Vectors (N, E) that utterances, each in its layout, begin with, zeros for those without; None where nobody does.

    Raises:
      ValueError: naming the utterance, if its speaker is not known, or has no vector.
    """
    if voices is None or not any(layout.begins_with_voice for layout in layouts):
        return None
    rows = torch.zeros(len(layouts), voices.dim)
    for row, layout, name, facts in zip(rows, layouts, every.names, every.facts):
        if layout.begins_with_voice:
            try:
                row[:] = voices.of(fact_named(facts, SPEAKER, layout.name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}" if name else str(error)) from None
    return rows
