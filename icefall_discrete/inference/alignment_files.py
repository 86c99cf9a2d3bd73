"""Alignments on disk: CTM and supervisions of lhotse for all utterances, a TextGrid of Praat for each."""

from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from lhotse import SupervisionSegment
from lhotse.supervision import AlignmentItem

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.inside import path_inside
from icefall_discrete.data.cuts import write_lines
from icefall_discrete.systems.asr.alignment import Aligned, Alignment

WORD, PIECE = "word", "piece"
_TIERS = {WORD: "words", PIECE: "pieces"}


class AlignedUtterance(NamedTuple):
    """An utterance and its alignment, whose times count from the utterance's beginning.

    start_sec, duration_sec: where in the recording it lies.
    """

    id: str
    recording_id: str
    channel: int
    start_sec: float
    duration_sec: float
    text: str
    alignment: Alignment

    @property
    def tiers(self) -> Dict[str, Sequence[Aligned]]:
        """Words and pieces, by what they are."""
        return {WORD: self.alignment.words, PIECE: self.alignment.pieces}


def supervision_of(utterance: AlignedUtterance) -> SupervisionSegment:
    """The utterance as lhotse has it; times of the alignment count from the recording's beginning, as in CTM."""
    return SupervisionSegment(
        id=utterance.id,
        recording_id=utterance.recording_id,
        start=utterance.start_sec,
        duration=utterance.duration_sec,
        channel=utterance.channel,
        text=utterance.text,
        alignment={
            kind: [
                AlignmentItem(
                    one.text,
                    round(utterance.start_sec + one.start_sec, 4),
                    round(one.end_sec - one.start_sec, 4),
                    round(one.probability, 4),
                )
                for one in items
            ]
            for kind, items in utterance.tiers.items()
        },
    )


def ctm_lines(utterance: AlignedUtterance, kind: str = WORD) -> List[str]:
    """Lines of a CTM file: recording, channel from 1, start and duration (s), word, confidence."""
    name = "_".join(utterance.recording_id.split())
    return [
        f"{name} {utterance.channel + 1} {utterance.start_sec + one.start_sec:.3f} {one.end_sec - one.start_sec:.3f} "
        f"{one.text} {one.probability:.3f}"
        for one in utterance.tiers[kind]
    ]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _apart(items: Sequence[Aligned], duration_sec: float) -> Iterator[Tuple[float, float, str]]:
    """Start, end and text of each, none over another: those that begin in the same frame share its time."""
    groups: List[Tuple[float, List[Aligned]]] = []
    for one in items:
        if one.start_sec >= duration_sec:  # in a frame behind the end of the audio, which has no time in it
            before = groups[-1][1][-1] if groups else Aligned("", 0.0, duration_sec, 0.0)
            one = one._replace(start_sec=before.start_sec, end_sec=before.end_sec)
        if groups and one.start_sec <= groups[-1][0]:
            groups[-1][1].append(one)
        else:
            groups.append((one.start_sec, [one]))
    limits = [start for start, _ in groups[1:]] + [duration_sec]
    for (start, group), limit in zip(groups, limits):
        share = (min(limit, max(one.end_sec for one in group)) - start) / len(group)
        for place, one in enumerate(group):
            yield start + place * share, start + (place + 1) * share, one.text


def _intervals(items: Sequence[Aligned], duration_sec: float) -> List[str]:
    """The intervals of a tier, from 0 to its end, without gaps: what nobody said is empty."""
    parts, at = [], 0.0
    for start, end, text in _apart(items, duration_sec):
        parts += [(at, start, "")] if start > at else []
        parts.append((start, end, text))
        at = end
    parts += [(at, duration_sec, "")] if at < duration_sec else []
    lines = [f"        intervals: size = {len(parts)}"]
    for number, (start, end, text) in enumerate(parts, start=1):
        lines += [f"        intervals [{number}]:", f"            xmin = {start:.4f}", f"            xmax = {end:.4f}"]
        lines.append(f"            text = {_quoted(text)}")
    return lines


def text_grid(utterance: AlignedUtterance) -> str:
    """The text of a TextGrid file of Praat, tiers words and pieces; times count from the utterance's beginning."""
    end = utterance.duration_sec
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.4f}"]
    lines += ["tiers? <exists>", f"size = {len(utterance.tiers)}", "item []:"]
    for number, (kind, items) in enumerate(utterance.tiers.items(), start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{_TIERS[kind]}"']
        lines += ["        xmin = 0", f"        xmax = {end:.4f}", *_intervals(items, end)]
    return "\n".join(lines) + "\n"


def _grid_path(folder: Path, name: str) -> Path:
    return path_inside(folder, name.replace("/", "-"), "the id of an utterance", ".TextGrid")


def require_own_files(folder: Path, ids: Iterable[str]) -> None:
    """Raise ValueError if an id is no name of a file, or two utterances would be written as the same one."""
    found: Dict[Path, str] = {}
    for name in ids:
        path = _grid_path(folder, name)
        if path in found:
            raise ValueError(
                f"{found[path]!r} and {name!r} are two utterances, and would both be written as {path}; align them in "
                "two calls, with another --to."
            )
        found[path] = name


def write_text_grid(folder: Path, utterance: AlignedUtterance) -> None:
    """Write <id>.TextGrid below `folder`. Raises ValueError for an id that is no name of a file."""
    write_text(_grid_path(folder, utterance.id), text_grid(utterance))


def write_alignments(folder: Path, utterances: Iterable[AlignedUtterance]) -> None:
    """Write words.ctm, pieces.ctm and supervisions.jsonl.gz of all utterances into `folder`, each whole."""
    every = list(utterances)
    for kind, tier in _TIERS.items():
        write_text(folder / f"{tier}.ctm", "".join(f"{line}\n" for one in every for line in ctm_lines(one, kind)))
    write_lines(folder / "supervisions.jsonl.gz", (supervision_of(one).to_dict() for one in every))
