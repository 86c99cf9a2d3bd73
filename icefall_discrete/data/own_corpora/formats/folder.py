"""A folder with audio files, and their texts beside them, in lists, or in a table (metadata.csv, as of LJ Speech)."""

from pathlib import Path
from typing import Dict, List, Optional

from icefall_discrete.base.text_files import read_text, shown_name
from icefall_discrete.data.corpus_files import transcripts_in
from icefall_discrete.data.manifests import CorpusError, listed
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
from icefall_discrete.data.own_corpora.formats.table import SUFFIXES, read_table
from icefall_discrete.text.words import plain_spaces

_BESIDE = (".txt", ".lab", ".normalized.txt")
_TABLES = ("metadata", "transcripts", "transcript", "validated")
_BY_FOLDER = "folder"  # columns: speaker=folder


def _visible(source: Path) -> List[Path]:
    files = (path for path in source.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(source).parts))


def _table_of(source: Path, files: List[Path]) -> Optional[Path]:
    """The one table at the top of a folder, or the one with a usual name."""
    tables = [path for path in files if path.suffix in SUFFIXES and path.parent == source]
    usual = [path for path in tables if path.stem in _TABLES]
    return (usual or tables)[0] if len(usual or tables) == 1 else None


def _beside(audio: Path) -> Optional[str]:
    suffixes = (*_BESIDE, *(suffix.upper() for suffix in _BESIDE))
    paths = (audio.with_suffix(suffix) for suffix in suffixes)
    return next((plain_spaces(read_text(path)) for path in paths if path.is_file()), None)


class Folder(SourceFormat):
    """Audio files with their texts: x.wav and x.txt, or lists with lines `x the text`, or a table."""

    is_general = True

    def suits(self, source: Path) -> bool:
        """See `SourceFormat`."""
        return source.is_dir() and any(path.suffix.lower() in AUDIO_SUFFIXES for path in source.rglob("*"))

    def read(self, source: Path, reading: Reading) -> Found:
        """See `SourceFormat`."""
        files = _visible(source)
        table = _table_of(source, files)
        if table is not None:
            return found_in_files(read_table(table, reading.columns), str(table), reading)
        audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
        texts = self._texts(source, audio, files)
        if not texts:
            raise CorpusError(
                f"{source} holds {len(audio)} audio files and no text for them: expected x.txt beside x.wav, a .txt "
                "file with lines 'x the text', or a metadata.csv with the columns path and text."
            )
        by_folder = reading.columns.get("speaker") == _BY_FOLDER
        utterances = []
        for path in audio:
            if path not in texts:
                continue
            below = path.relative_to(source)
            splits = (known_split(part) for part in below.parts[:-1])
            utterances.append(
                Utterance(
                    id=plain_id(str(below.with_suffix(""))),
                    audio=path,
                    text=texts[path],
                    speaker=path.parent.name if by_folder and len(below.parts) > 1 else None,
                    split=next((split for split in splits if split), None),
                )
            )
        found = found_in_files(utterances, str(source), reading)
        silent = {shown_name(str(path)): "no text" for path in audio if path not in texts}
        return found._replace(unusable={**found.unusable, **silent})

    @staticmethod
    def _texts(source: Path, audio: List[Path], files: List[Path]) -> Dict[Path, str]:
        """The text of each audio file that has one."""
        beside = {path: text for path in audio if (text := _beside(path)) is not None}
        lists = [path for path in files if path.suffix.lower() == ".txt"]
        if beside or not lists:
            return beside
        by_name = transcripts_in(lists)
        texts = {path: by_name[key] for path in audio for key in (path.name, path.stem) if key in by_name}
        if not texts:
            raise CorpusError(
                f"{source}: the lists {listed(path.name for path in lists)} name {listed(by_name)}, and no audio file "
                "is called so; a line must be the name of an audio file and its text."
            )
        return texts
