"""Data folders of Kaldi: wav.scp, text, utt2spk, segments; one, or one for each split. Pipes are refused, not run.

lhotse's reader of such folders takes one rate for all, and runs what wav.scp pipes from; here headers say the rates.
"""

from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional

from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.corpus_files import transcripts_in
from icefall_discrete.data.manifests import CorpusError, listed
from icefall_discrete.data.own_corpora.formats.contract import (
    Found,
    Reading,
    SourceFormat,
    Utterance,
    found_in_files,
    joined,
    known_split,
    seconds_in,
)

_WAV, _TEXT, _SEGMENTS = "wav.scp", "text", "segments"


class _Segment(NamedTuple):
    recording: str
    start: float
    duration: Optional[float]


def _mapping(path: Path) -> Dict[str, str]:
    return {key: value.strip() for key, value in transcripts_in([path]).items()} if path.is_file() else {}


def _audio(folder: Path) -> Dict[str, Path]:
    """Audio file by recording. Raises CorpusError for what is no file."""
    found = {}
    for name, place in _mapping(folder / _WAV).items():
        if place.endswith("|") or place.startswith("|") or not place:
            raise CorpusError(
                f"{folder / _WAV}: recording {name[:80]} is {place[:80]!r}, a command or nothing, expected a file; "
                "commands of others are not run: write the audio to files (Kaldi's wav-copy does so) and list those."
            )
        # Paths are those of whoever made the folder, mostly in its recipe, two folders above.
        places = [folder / place, folder.parent / place, folder.parent.parent / place]
        found[name] = next((one for one in places if one.is_file()), places[0])
    return found


def _segments(folder: Path) -> Dict[str, _Segment]:
    segments = {}
    for number, line in numbered_lines(folder / _SEGMENTS) if (folder / _SEGMENTS).is_file() else ():
        fields = line.split()
        try:
            name, recording, start, end = fields[0], fields[1], seconds_in(fields[2]), seconds_in(fields[3])
        except (IndexError, ValueError):
            raise CorpusError(
                f"{folder / _SEGMENTS}, line {number} is {line[:80]!r}, expected an utterance, a recording, and two "
                "times in seconds."
            ) from None
        # An end of -1 is that of the recording.
        segments[name] = _Segment(recording, start, end - start if end >= 0 else None)
    return segments


def _utterances(folder: Path, split: Optional[str]) -> "tuple[List[Utterance], Dict[str, str]]":
    audio, texts, segments = _audio(folder), _mapping(folder / _TEXT), _segments(folder)
    speakers, languages = _mapping(folder / "utt2spk"), _mapping(folder / "utt2lang")
    genders: Mapping[str, str] = _mapping(folder / "spk2gender")
    spoken = segments or {name: _Segment(name, 0.0, None) for name in audio}
    unknown = {one.recording for one in segments.values()} - audio.keys()
    if unknown:
        raise CorpusError(f"{folder / _SEGMENTS}: {len(unknown)} recordings ({listed(unknown)}) are not in {_WAV}.")
    utterances, unusable = [], {}
    for name, segment in spoken.items():
        if name not in texts:
            unusable[name] = f"it has no line in {folder / _TEXT}"
            continue
        speaker = speakers.get(name)
        utterances.append(
            Utterance(
                id=name,
                audio=audio[segment.recording],
                text=texts[name],
                speaker=speaker,
                language=languages.get(name),
                split=split,
                gender=genders.get(speaker or ""),
                start=segment.start if segments else None,
                duration=segment.duration,
            )
        )
    return utterances, unusable


class Kaldi(SourceFormat):
    """A folder with wav.scp and text, or with such folders for train, dev and test."""

    def _folders(self, source: Path) -> List[Path]:
        own = [source] if (source / _WAV).is_file() else []
        return own or sorted(path.parent for path in source.glob(f"*/{_WAV}"))

    def suits(self, source: Path) -> bool:
        """See `SourceFormat`."""
        return source.is_dir() and any((folder / _TEXT).is_file() for folder in self._folders(source))

    def read(self, source: Path, reading: Reading) -> Found:
        """See `SourceFormat`."""
        folders = self._folders(source)
        if not folders:
            raise CorpusError(f"{source} has no {_WAV}, nor has a folder in it; is it a data folder of Kaldi?")
        parts = []
        for folder in folders:
            utterances, unusable = _utterances(folder, known_split(folder.name) if folder != source else None)
            found = found_in_files(utterances, str(folder), reading)
            parts.append(found._replace(unusable={**found.unusable, **unusable}))
        return joined(parts)
