"""CSV, TSV and JSON lines: a line for each utterance, with at least the path of its audio and its text."""

import csv
import functools
import io
import os
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from icefall_discrete.base.json_files import json_name, parse_json
from icefall_discrete.base.text_files import numbered_lines, read_text
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.own_corpora.formats.contract import (
    AUDIO_SUFFIXES,
    Found,
    Reading,
    SourceFormat,
    Utterance,
    found_in_files,
    known_split,
    plain_id,
    seconds_in,
)

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
# What tables call their columns, the likeliest name first.
COLUMNS: Dict[str, Tuple[str, ...]] = {
    "audio": ("audio_filepath", "audio_path", "audio", "path", "file_name", "filename", "file", "wav", "wav_path"),
    "text": ("text", "sentence", "transcript", "transcription", "raw_text", "normalized_text"),
    "id": ("id", "utt_id", "utterance_id", "uttid", "utt"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id"),
    "language": ("language", "lang", "locale"),
    "gender": ("gender", "sex"),
    "split": ("split", "partition", "subset"),
    "start": ("start", "offset", "begin"),
    "end": ("end",),
    "duration": ("duration",),
}
_NEEDED = ("audio", "text")
_FOLDERS = ("", "clips", "wavs", "wav", "audio")
_DELIMITERS = "|\t;,"
# A row behind the last one, which is read as such unless a quote was left open before it.
_END = "\x1e"
Row = Mapping[str, str]


def chosen_columns(present: Sequence[str], given: Mapping[str, str], where: str) -> Dict[str, str]:
    """The table's column of each thing that it holds.

    Args:
      present: the columns that there are. given: those that the user names, by what they hold.
    Raises:
      CorpusError: if one that is named, or that of audio or text, is not there.
    """
    lower = {name.strip().lower(): name for name in present}
    chosen: Dict[str, str] = {}
    for thing, names in COLUMNS.items():
        if thing in given:
            if given[thing] not in present:
                raise CorpusError(f"{where} has no column '{given[thing]}'; it has {', '.join(present)}.")
            chosen[thing] = given[thing]
        else:
            chosen.update((thing, lower[name]) for name in names[::-1] if name in lower)
    missing = [thing for thing in _NEEDED if thing not in chosen]
    if missing:
        raise CorpusError(
            f"{where} has the columns {', '.join(present)}, and none that is known to hold the {missing[0]}; name it, "
            f"such as --columns {missing[0]}=NAME."
        )
    return chosen


def _read_csv(path: Path) -> List[Tuple[str, Row]]:
    try:
        return list(_csv_rows(path))
    except csv.Error as error:
        raise CorpusError(f"{path} cannot be read as a table ({error}); save it as CSV in UTF-8 again.") from None


def _csv_rows(path: Path) -> Iterator[Tuple[str, Row]]:
    text = read_text(path)
    first = text.partition("\n")[0]
    delimiter = "\t" if path.suffix == ".tsv" else max(_DELIMITERS, key=first.count)
    # Lines end as those of files do, and with no other character that Unicode counts as an end; quotes may hold them.
    source = io.StringIO(f"{text}\n{_END}\n", newline="")
    rows = functools.partial(csv.reader, source, delimiter=delimiter)
    # Quotes in tables with tabs or bars are part of the text; among commas they hold it together.
    lines = rows() if delimiter in ",;" else rows(quoting=csv.QUOTE_NONE)
    header = [] if text.isspace() or not text else next(lines)
    if delimiter == "|" and not {name.lower() for name in header} & {*COLUMNS["text"], *COLUMNS["audio"]}:
        # The layout of LJ Speech: no header; an id that is the name of its audio, a text, and that text in words.
        source.seek(0)
        lines = rows(quoting=csv.QUOTE_NONE)
        header = ["path", "raw_text", "text"][: len(header)]
    for number, fields in enumerate(lines, start=2):
        if not any(field.strip() for field in fields) or fields == [_END]:
            continue
        if _END in fields[-1]:
            raise CorpusError(
                f"{path}: row {number} ({fields[0][:80]!r}) has a quote that nothing closes, so that all rows behind "
                "it would be part of it; close it, or write it twice."
            )
        if len(fields) != len(header):
            raise CorpusError(
                f"{path}: row {number} has {len(fields)} fields, the header {len(header)}; correct the row (fields are "
                f"divided by {delimiter!r})."
            )
        yield f"row {number}", dict(zip(header, fields))


def _json_rows(path: Path) -> Iterator[Tuple[str, Row]]:
    for number, line in numbered_lines(path):
        try:
            value = parse_json(line)
        except ValueError as error:
            raise CorpusError(f"{path}, line {number} {error}; a line must be one object in JSON.") from None
        if not isinstance(value, dict):
            raise CorpusError(f"{path}, line {number} is {json_name(value)}, expected an object.")
        plain = {key: one for key, one in value.items() if isinstance(one, (str, int, float))}
        yield f"line {number}", {key: str(one) for key, one in plain.items()}


def audio_of(folder: Path, name: str) -> Path:
    """The file that a table means, below its folder or wherever it says; the name alone if there is none."""
    places = [folder / below / name for below in _FOLDERS]
    if Path(name).suffix.lower() not in AUDIO_SUFFIXES:
        places = [place.with_name(place.name + suffix) for place in places for suffix in AUDIO_SUFFIXES] + places
    return next((place for place in places if place.is_file()), folder / name)


def _seconds(row: Row, column: Optional[str], where: str) -> Optional[float]:
    text = row.get(column or "", "").strip()
    try:
        return seconds_in(text) if text else None
    except ValueError:
        raise CorpusError(f"{where}: '{column}' is {text!r}, expected a number of seconds; correct it.") from None


def _shared_folder(names: Sequence[str]) -> Optional[Path]:
    """The folder that all files of audio lie in, where all are named by whole paths; else None.

    It is no part of ids, which would be long, tell the folders of a machine, and change when the corpus moves.
    """
    if not names or not all(os.path.isabs(name) for name in names):
        return None
    return Path(os.path.commonpath([os.path.dirname(name) for name in names]))


def _utterance(row: Row, columns: Mapping[str, str], shared: Optional[Path], folder: Path, where: str) -> Utterance:
    values = {thing: row.get(column, "").strip() for thing, column in columns.items()}
    if not values["audio"]:
        raise CorpusError(f"{where}: '{columns['audio']}' is empty, expected the path of the audio; correct it.")
    start = _seconds(row, columns.get("start"), where)
    end = _seconds(row, columns.get("end"), where)
    duration = _seconds(row, columns.get("duration"), where)
    if end is not None:
        duration = end - (start or 0.0)
    said = Path(values["audio"]).with_suffix("")
    name = values.get("id") or plain_id(str(said.relative_to(shared) if shared else said))
    if not values.get("id") and start is not None:
        name = f"{name}-{round(1000 * start)}"
    return Utterance(
        id=plain_id(name),
        audio=audio_of(folder, values["audio"]),
        text=values["text"],
        speaker=values.get("speaker") or None,
        language=values.get("language") or None,
        split=known_split(values.get("split", "")),
        gender=values.get("gender") or None,
        start=start,
        # Without a beginning it is how long the whole file lasts, which its header knows better.
        duration=duration if start is not None or end is not None else None,
    )


def read_table(path: Path, columns: Mapping[str, str]) -> List[Utterance]:
    """The utterances of a table.

    Raises:
      CorpusError: for a row that cannot be read, or columns that are missing.
    """
    rows = _read_csv(path) if path.suffix in (".csv", ".tsv") else list(_json_rows(path))
    if not rows:
        raise CorpusError(f"{path} lists no utterance; it is empty, or has a header alone.")
    chosen = chosen_columns(list(dict.fromkeys(name for _, row in rows for name in row)), columns, str(path))
    shared = _shared_folder([row.get(chosen["audio"], "").strip() for _, row in rows])
    return [_utterance(row, chosen, shared, path.parent, f"{path}, {where}") for where, row in rows]


class Table(SourceFormat):
    """One file with a line for each utterance."""

    def suits(self, source: Path) -> bool:
        """See `SourceFormat`."""
        return source.is_file() and source.suffix in SUFFIXES and not source.name.startswith(("cuts", "recordings"))

    def read(self, source: Path, reading: Reading) -> Found:
        """See `SourceFormat`."""
        return found_in_files(read_table(source, reading.columns), str(source), reading)
