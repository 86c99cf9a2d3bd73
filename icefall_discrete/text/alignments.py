"""What was said when: alignments of phones or letters, from files of other tools or ours, and as labels of frames.

Read are Praat's TextGrid, long or short (one file, or a folder of them, as the Montreal Forced Aligner leaves it),
NIST's CTM, and the lines of fairseq's and ESPnet's measures of units: an utterance, a tab, and a label every 10 ms,
with commas between. Written is CTM.
"""

import bisect
import itertools
import math
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar, Union

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.text_files import numbered_lines, read_text

LABELS_PER_SEC = 100.0  # of files with a label a frame
_FORMS = "expected a .TextGrid file or a folder of them, a .ctm file, or a .tsv file of labels every 10 ms"
# Strings in quotes, numbers that stand alone, flags: Praat reads nothing else in its text files.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|<(\w+)>')
_STRESS = re.compile(r"(?<=[A-Z])[0-2]$")


class Segment(NamedTuple):
    """What is said from `begin_sec` to `end_sec`."""

    begin_sec: float
    end_sec: float
    label: str


Alignments = Dict[str, List[Segment]]
_Token = Tuple[Union[str, float], int]
_Value = TypeVar("_Value", str, float)


def read_alignments(path: PathLike, tier: str = "phones") -> Alignments:
    """The segments of each utterance in order of time; those without a label are left out.

    Args:
      path: see the module; of a TextGrid the utterance is its file's name. tier: of a TextGrid; one that has a single
        tier of intervals needs no name. MFA's "<speaker> - phones" is found by "phones".
    Raises:
      ValueError: for a file of another form, a line that cannot be read (it is named), or no segment at all.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix.lower() == ".textgrid")
        found = {one.stem: _read_text_grid(one, tier) for one in files}
        if len(found) < len(files):
            raise ValueError(f"{path}: two of its TextGrids have the same name; expected one an utterance.")
    elif path.suffix.lower() == ".textgrid":
        found = {path.stem: _read_text_grid(path, tier)}
    elif path.suffix == ".ctm":
        found = _collected(_ctm_lines(path))
    elif path.suffix == ".tsv":
        found = dict(_label_lines(path))
    else:
        raise ValueError(f"{path}: {_FORMS}.")
    if not any(found.values()):
        raise ValueError(f"{path} holds no segment with a label; {_FORMS}.")
    return {name: sorted(segments) for name, segments in found.items()}


def write_ctm(path: PathLike, alignments: Mapping[str, Sequence[Segment]]) -> None:
    """Write a CTM file: utterance, channel 1, begin and duration in seconds, label; nothing that has a space in it."""
    lines = [
        f"{name} 1 {one.begin_sec:.3f} {one.end_sec - one.begin_sec:.3f} {one.label}\n"
        for name, segments in alignments.items()
        for one in segments
    ]
    write_text(path, "".join(lines))


def without_stress(alignments: Alignments) -> Alignments:
    """ARPAbet vowels without the digit of their stress: AH0 and AH1 are AH."""
    return {
        name: [one._replace(label=_STRESS.sub("", one.label)) for one in segments]
        for name, segments in alignments.items()
    }


def frame_labels(segments: Sequence[Segment], num_frames: int, frame_rate_hz: float) -> List[Optional[str]]:
    """The label at the middle of each of `num_frames` frames from time 0; None where nothing is said.

    Args:
      segments: in order of time; of several that overlap, the last that began counts.
    """
    begins = [one.begin_sec for one in segments]
    labels: List[Optional[str]] = []
    for frame in range(num_frames):
        middle = (frame + 0.5) / frame_rate_hz
        place = bisect.bisect_right(begins, middle) - 1
        labels.append(segments[place].label if place >= 0 and middle < segments[place].end_sec else None)
    return labels


def segments_of_peaks(
    peaks_sec: Sequence[float], labels: Sequence[str], end_sec: float, reach_sec: float
) -> List[Segment]:
    """Segments of labels of which only a moment is known, as CTC gives them: to the middle between two neighbours.

    Args:
      peaks_sec: a rising moment for each of `labels`. end_sec: of the utterance. reach_sec: the farthest that a label
        reaches from its moment, so that pauses belong to none.
    """
    edges = [(before + after) / 2 for before, after in itertools.pairwise(peaks_sec)]
    begins, ends = [0.0, *edges], [*edges, end_sec]
    return [
        Segment(max(begin, peak - reach_sec), min(end, peak + reach_sec), label)
        for begin, end, peak, label in zip(begins, ends, peaks_sec, labels)
    ]


def _collected(parts: Iterable[Tuple[str, Segment]]) -> Alignments:
    found: Alignments = {}
    for name, segment in parts:
        found.setdefault(name, []).append(segment)
    return found


def _ctm_lines(path: Path) -> Iterator[Tuple[str, Segment]]:
    for number, line in numbered_lines(path):
        if line.startswith(";;"):
            continue
        fields = line.split()
        if len(fields) < 5:
            raise ValueError(
                f"{path} line {number} has {len(fields)} fields, expected utterance, channel, begin, duration, label; "
                "correct it."
            )
        begin, duration = (_seconds(text, f"{path} line {number}") for text in fields[2:4])
        yield fields[0], Segment(begin, begin + duration, fields[4])


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{where}: '{text}' is no time in seconds, expected a number of 0 or more; correct it.")
    return value


def _label_lines(path: Path) -> Iterator[Tuple[str, List[Segment]]]:
    """Utterances of a file with labels every 10 ms; equal neighbours are one segment."""
    seen = set()
    for number, line in numbered_lines(path):
        name, tab, labels = line.partition("\t")
        each = [label.strip() for label in labels.strip().split(",")]
        if not tab or "" in each or name in seen:
            reason = "names an utterance for the second time" if name in seen else "has no tab with labels behind it"
            raise ValueError(f"{path} line {number} {reason}; expected an utterance, a tab, and labels by commas.")
        seen.add(name)
        begins = [0, *(place for place in range(1, len(each)) if each[place] != each[place - 1])]
        yield (
            name,
            [
                Segment(begin / LABELS_PER_SEC, end / LABELS_PER_SEC, each[begin])
                for begin, end in zip(begins, [*begins[1:], len(each)])
            ],
        )


def _tokens(path: Path) -> Iterator[_Token]:
    """Strings, numbers and flags of a Praat text file, each with its line."""
    text = read_text(path)
    ends = [match.start() for match in re.finditer("\n", text)]
    for match in _TOKEN.finditer(text):
        line = bisect.bisect_right(ends, match.start()) + 1
        if match[2] is not None:
            yield float(match[2]), line
        elif match[3] is None:
            yield match[1].replace('""', '"'), line


class _TextGridReader:
    """Reads values of a Praat text file one by one, and says where one is of another type than it must be."""

    def __init__(self, path: Path) -> None:
        self._path, self._tokens, self._line = path, _tokens(path), 1

    def _next(self, what: str, kind: Type[_Value]) -> _Value:
        found, self._line = next(self._tokens, (None, self._line))
        if not isinstance(found, kind):
            shown = "the end of the file" if found is None else f"'{found}'"
            raise ValueError(
                f"{self._path} line {self._line}: expected {what}, found {shown}; save the TextGrid as text again."
            )
        return found

    def text(self, what: str) -> str:
        """The next value, a text."""
        return self._next(what, str)

    def number(self, what: str) -> float:
        """The next value, a number."""
        found = self._next(what, float)
        if not math.isfinite(found):
            raise ValueError(
                f"{self._path} line {self._line}: expected {what}, found a number without end; correct it."
            )
        return found

    def tiers(self) -> Iterator[Tuple[str, List[Segment]]]:
        """Names and segments of the tiers of intervals."""
        for expected in ("ooTextFile", "TextGrid"):
            if self.text(f'"{expected}"') != expected:
                raise ValueError(f'{self._path} is no TextGrid: expected "{expected}" in its first lines.')
        self.number("the begin of the TextGrid")
        self.number("its end")
        for _ in range(int(self.number("the number of tiers"))):
            kind, name = self.text("the class of a tier"), self.text("the name of a tier")
            self.number(f"the begin of tier '{name}'")
            self.number(f"the end of tier '{name}'")
            num = int(self.number(f"the number of intervals of tier '{name}'"))
            segments = [self._segment(kind, f"interval {place} of tier '{name}'") for place in range(1, num + 1)]
            if kind == "IntervalTier":
                yield name, [one for one in segments if one.label]

    def _segment(self, kind: str, what: str) -> Segment:
        begin = self.number(f"the begin of {what}")
        end = self.number(f"the end of {what}") if kind == "IntervalTier" else begin
        if end < begin:
            raise ValueError(f"{self._path} line {self._line}: {what} ends at {end:g} s, but begins at {begin:g} s.")
        return Segment(begin, end, self.text(f"the text of {what}").strip())


def _read_text_grid(path: Path, tier: str) -> List[Segment]:
    tiers = dict(_TextGridReader(path).tiers())
    named = [name for name in tiers if name == tier or name.endswith(f" - {tier}")]
    chosen = named or (list(tiers) if len(tiers) == 1 else [])
    if not chosen:
        known = ", ".join(f"'{name}'" for name in tiers) or "none of intervals"
        raise ValueError(f"{path} has no tier '{tier}' (it has {known}); say which to read.")
    return [segment for name in chosen for segment in tiers[name]]
