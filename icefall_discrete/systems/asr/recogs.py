"""Transcripts on disk, in icefall's format: two lines a cut, `<cut id>:\\tref=[...]` and `<cut id>:\\thyp=[...]`.

These are words, and Chinese characters are words. What the texts were, with the spaces that somebody wrote, is kept
beside them: JSON lines with id, ref and hyp.
"""

import ast
import collections
import json
from pathlib import Path
from typing import Iterable, List, NamedTuple, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.text_files import read_text
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.text.words import text_of_words


class SaidText(NamedTuple):
    """What was said and what was recognised in one cut, as text."""

    id: str
    ref: str
    hyp: str


_SHOWN = 200
_FIELDS = ("ref", "hyp")


def write_recogs(path: PathLike, transcripts: Iterable[Transcript]) -> None:
    """Write the transcripts to `path`, sorted by cut id, whole or not at all."""
    lines = []
    for cut_id, ref, hyp in sorted(transcripts):
        lines += [f"{cut_id}:\tref={list(ref)}", f"{cut_id}:\thyp={list(hyp)}"]
    write_text(path, "".join(line + "\n" for line in lines))


def read_recogs(path: PathLike) -> List[Transcript]:
    """Read what `write_recogs`, or icefall, wrote; other lines of a cut (its timestamps) are left out.

    Raises:
      FileNotFoundError: if there is no such file; IsADirectoryError: if it is a folder; ValueError: if a line or pair
        of lines is malformed, naming it.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected recogs-<set>-*.txt; name the file.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; decode first.")
    found = [
        _parse_line(line, f"{path}:{number}")
        for number, line in enumerate(read_text(Path(path)).splitlines(), start=1)
        if "\ttimestamp_" not in line
    ]
    refs, hyps = found[0::2], found[1::2]
    if len(refs) != len(hyps):
        raise ValueError(f"{path}: the last cut has no hyp line; the file was cut short, decode again.")
    pairs = [_pair(ref, hyp, str(path)) for ref, hyp in zip(refs, hyps)]
    twice = [cut_id for cut_id, count in collections.Counter(pair.cut_id for pair in pairs).items() if count > 1]
    if twice:
        raise ValueError(
            f"{path}: cut {twice[0]} is there twice, so that its errors would count twice; give each cut of the "
            "manifest an id of its own (stage 1), and decode again."
        )
    return pairs


def write_texts(path: PathLike, texts: Iterable[SaidText]) -> None:
    """Write the texts to `path`, sorted by cut id, whole or not at all."""
    lines = (json.dumps(text._asdict(), ensure_ascii=False) for text in sorted(texts))
    write_text(path, "".join(line + "\n" for line in lines))


def read_texts(path: PathLike, recogs: PathLike) -> List[SaidText]:
    """Read what `write_texts` wrote; without such a file, the texts as far as the words of `recogs` tell.

    Raises as `read_recogs`; ValueError if a line is malformed, naming it.
    """
    if not Path(path).is_file():
        return [SaidText(t.cut_id, text_of_words(t.ref), text_of_words(t.hyp)) for t in read_recogs(recogs)]
    texts = []
    for number, line in enumerate(read_text(Path(path)).split("\n")[:-1], start=1):
        try:
            texts.append(SaidText(**json.loads(line)))
        except (TypeError, ValueError):
            raise ValueError(f"{path}:{number}: expected id, ref and hyp, got {line!r}; decode again.") from None
    return texts


def _parse_line(line: str, where: str) -> Tuple[str, str, Tuple[str, ...]]:
    cut_id, colon_tab, rest = line.partition(":\t")
    field, equals, value = rest.partition("=")
    try:
        words = ast.literal_eval(value)
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        words = None
    is_said = isinstance(words, list) and all(isinstance(word, str) for word in words)
    if not colon_tab or not equals or field not in _FIELDS or not is_said:
        got = repr(line[:_SHOWN])
        raise ValueError(f"{where}: expected '<cut id>:<tab>ref=[...]' or 'hyp=[...]', got {got}; decode again.")
    return cut_id, field, tuple(words)


def _pair(ref: Tuple, hyp: Tuple, where: str) -> Transcript:
    if (ref[1], hyp[1]) != _FIELDS or ref[0] != hyp[0]:
        raise ValueError(f"{where}: cut {ref[0]} is not followed by its hyp line; decode again.")
    return Transcript(ref[0], ref[2], hyp[2])
