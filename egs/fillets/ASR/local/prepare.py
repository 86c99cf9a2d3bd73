#!/usr/bin/env python3
"""Stage 1: fetched dialogues -> 16 kHz FLAC and validated lhotse manifests, `fillets_cuts_{train,dev,test}.jsonl.gz`.

One utterance per line of a dialogue that has a sound, words that are known, and 0.3 to 20 s. Audio is converted once; a
rerun converts only what is missing.
"""

import collections
import dataclasses
import re
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from fillets_dialogs import LANGUAGES, Dialog, parse_dialogs
from lhotse import MonoCut, Recording

from icefall_discrete.audio.reading import UnreadableAudio, load_recording
from icefall_discrete.audio.writing import holds_samples, write_flac
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data import small_corpora
from icefall_discrete.data.checked_folders import CHECKSUMS, damaged_files, read_checksums
from icefall_discrete.data.corpus_files import read_headers
from icefall_discrete.data.manifests import CorpusError, listed
from icefall_discrete.text.plain_words import plain_words

SAMPLE_RATE_HZ = 16000
PUBLISHED = small_corpora.Published(utterances={"cs": (1364, 158, 169), "nl": (1213, 167, 146)}, test_words=2398)
_FILLED_BY_THE_GAME = re.compile(r"%[0-9]")  # a number that is known when it is played, and said by another sound


@dataclasses.dataclass(frozen=True)
class PrepareConfig(small_corpora.PrepareConfig):
    """Which lines become utterances, and where everything lies."""

    corpus_dir: str = setting("download/fillets", "corpus folder that stage 0 made")
    languages: Tuple[str, ...] = setting(LANGUAGES, "languages to prepare")


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a dialogue that becomes an utterance."""

    language: str
    level: str
    dialog: Dialog
    text: str
    recording: Recording
    md5: str
    audio: Path

    @property
    def id(self) -> str:
        return f"{self.language}-{self.level}-{self.dialog.id}"

    @property
    def split(self) -> str:
        """By what is said, so that no sentence of the test set is said anywhere else."""
        return small_corpora.split_of(self.text)

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.recording.duration

    @property
    def speaker(self) -> Optional[str]:
        """Named after the font of the subtitles: one for each figure of the game; None where there is none."""
        name = self.dialog.font.removeprefix("font_")
        return f"fillets-{self.language}-{name}" if name else None


def read_texts(folder: Path, checksums: Mapping[str, str], drops: collections.Counter) -> Dict[str, Dialog]:
    """Return the dialogues of a language by the path of their sound below its folder; count those without a text.

    Raises:
      CorpusError: if a script is damaged.
    """
    dialogs = {}
    for path in sorted(path for path in checksums if path.startswith("texts/")):
        level = Path(path).stem
        found, without_text = parse_dialogs((folder / path).read_bytes(), str(folder / path))
        drops["dialogue without text"] += without_text
        dialogs.update({f"sounds/{level}/{dialog.id}.ogg": dialog for dialog in found})
    return dialogs


def read_language(folder: Path, config: PrepareConfig, drops: collections.Counter) -> List[Line]:
    """Return the lines of a language that are utterances; count the others by reason in `drops`.

    Raises:
      CorpusError: if a file of the folder is missing, damaged or changed.
    """
    checksums = read_checksums(folder)
    damaged = damaged_files(folder)
    if damaged:
        raise CorpusError(
            f"{folder}: {len(damaged)} files are missing, or other ones than {CHECKSUMS} says ({listed(damaged)}); "
            "move the folder aside and run stage 0 again."
        )
    dialogs = read_texts(folder, checksums, drops)
    sounds = {path: folder / path for path in sorted(checksums) if path.startswith("sounds/")}
    drops["sound without dialogue"] += len(sounds.keys() - dialogs.keys())
    drops["dialogue without sound"] += len(dialogs.keys() - sounds.keys())
    headers = read_headers({path: file for path, file in sounds.items() if path in dialogs}, config.nj)
    drops["sound that holds nothing"] += len(headers.unusable)
    audio_dir = Path(config.data_dir).resolve() / "audio" / folder.name
    kept = []
    for path, recording in headers.recordings.items():
        level, name = Path(path).parent.name, Path(path).stem
        line = Line(
            language=folder.name,
            level=level,
            dialog=dialogs[path],
            text=spoken_text(dialogs[path].text, folder.name),
            recording=recording,
            md5=checksums[path],
            audio=path_inside(audio_dir, f"{level}/{name}", f"{folder / CHECKSUMS}: the name of a sound", ".flac"),
        )
        reason = _drop_reason(line, config)
        drops[reason] += 1
        if reason == "kept":
            kept.append(line)
    return kept


def spoken_text(written: str, language: str) -> str:
    """Return the words of a line, empty if it has none or the game fills a part of it."""
    return "" if _FILLED_BY_THE_GAME.search(written) else plain_words(written, language)


def _drop_reason(line: Line, config: PrepareConfig) -> str:
    if not line.text:
        return "text that the game fills" if line.dialog.text.strip() else "text that is empty"
    return config.why_not(line.duration) or "kept"


def num_samples(line: Line) -> int:
    """Samples of a line's audio at 16 kHz."""
    return line.recording.resample(SAMPLE_RATE_HZ).num_samples


def convert(line: Line) -> None:
    """Write the sound of a line as FLAC, 16 kHz, the mean of its channels, unless that was done before.

    Raises:
      CorpusError: if it cannot be read to its end, naming it.
    """
    expected = num_samples(line)
    if holds_samples(line.audio, expected):
        return
    try:
        samples = load_recording(line.recording, SAMPLE_RATE_HZ)
    except UnreadableAudio as error:
        source = line.recording.sources[0].source
        raise CorpusError(f"{source} cannot be read as audio: {str(error).rstrip('.')}.") from error
    if len(samples) != expected:
        raise CorpusError(f"{line.id}: converted to {len(samples)} samples, expected {expected}.")
    write_flac(line.audio, samples.numpy(), SAMPLE_RATE_HZ)


def make_cut(line: Line) -> MonoCut:
    """Return the cut of a line, with its recording and supervision."""
    dialog = line.dialog
    custom = {"written": dialog.text, "english": dialog.english, "level": line.level, "font": dialog.font}
    return small_corpora.file_cut(line, line.audio, num_samples(line), SAMPLE_RATE_HZ, line.speaker, custom)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage; see `small_corpora.prepare`."""
    corpus = small_corpora.SmallCorpus(
        "fillets", PUBLISHED, lambda folder, drops: read_language(folder, config, drops), convert, make_cut
    )
    small_corpora.prepare(corpus, Path(config.corpus_dir), config.languages, config)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
