"""Datasets of Hugging Face, saved to disk as Arrow or Parquet files; read by pyarrow, nothing of a dataset is run."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from icefall_discrete.base.atomic_files import write_bytes
from icefall_discrete.base.inside import path_inside
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
)
from icefall_discrete.data.own_corpora.formats.table import audio_of, chosen_columns

_ENDS = (".arrow", ".parquet")
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg"}
Row = Mapping[str, Any]


def _files(source: Path) -> List[Path]:
    paths = [path for path in sorted(source.rglob("*")) if path.suffix in _ENDS]
    # datasets keeps what a map of its made beside the data.
    return [path for path in paths if not path.name.startswith("cache-")]


def _batches(path: Path) -> Iterator[Any]:
    """Tables of some rows each. Raises ImportError without pyarrow, ValueError for a file that it cannot read."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{path} is read by pyarrow; pip install 'pyarrow>=15' ({error}).") from error
    try:
        if path.suffix == ".parquet":
            yield from pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=64)
            return
        with pyarrow.memory_map(str(path)) as stream:
            yield from pyarrow.ipc.open_stream(stream)
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); save it again.") from error


def _rows(path: Path) -> Iterator[Row]:
    for batch in _batches(path):
        yield from batch.to_pylist()


def _split_of(path: Path, source: Path) -> Optional[str]:
    names = [*path.relative_to(source).parts[:-1], path.stem]
    return next((split for split in map(known_split, names) if split), None)


def _written(data: bytes, name: str, path: Optional[str], folder: Path) -> Path:
    """The file of audio that lies within a table: written once, below a folder of ours."""
    suffix = Path(path or "").suffix.lower()
    suffix = suffix if suffix in AUDIO_SUFFIXES else _MAGIC.get(data[:4], ".mp3")
    target = path_inside(folder, name, "the id of an utterance", suffix)
    if not target.is_file() or target.stat().st_size != len(data):
        write_bytes(target, data)
    return target


def _audio(value: Any, name: str, beside: Path, reading: Reading) -> Path:
    """The file that a row's audio is, or is written to."""
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return _written(value["bytes"], name, value.get("path"), reading.audio_dir)
    place = value.get("path") if isinstance(value, dict) else value
    if not isinstance(place, str) or not place:
        raise CorpusError(f"{beside}: the audio of {name} is neither data nor a path; is this the column of audio?")
    return audio_of(beside, place)


class HuggingFace(SourceFormat):
    """A folder of save_to_disk, or with Parquet files; splits by the names of folders or files."""

    def suits(self, source: Path) -> bool:
        """See `SourceFormat`."""
        return source.is_dir() and bool(_files(source))

    def read(self, source: Path, reading: Reading) -> Found:
        """See `SourceFormat`."""
        utterances: List[Utterance] = []
        for path in _files(source):
            columns: Dict[str, str] = {}
            for number, row in enumerate(_rows(path)):
                columns = columns or chosen_columns(list(row), reading.columns, str(path))
                utterances.append(self._utterance(row, columns, (source, path), number, reading))
        return found_in_files(utterances, str(source), reading)

    @staticmethod
    def _utterance(
        row: Row, columns: Mapping[str, str], place: Tuple[Path, Path], number: int, reading: Reading
    ) -> Utterance:
        source, path = place
        said = {thing: str(row[column]) for thing, column in columns.items() if row[column] not in (None, "")}
        name = plain_id(said.get("id", f"{path.relative_to(source).with_suffix('')}-{number}"))
        return Utterance(
            id=name,
            audio=_audio(row[columns["audio"]], name, path.parent, reading),
            text=said.get("text", ""),
            speaker=said.get("speaker"),
            language=said.get("language"),
            split=known_split(said.get("split", "")) or _split_of(path, source),
        )
