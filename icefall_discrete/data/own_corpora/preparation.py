"""Stage 1 of an own corpus: read the source, rule its texts, divide it, report on it, write manifests."""

import collections
import dataclasses
import logging
import re
from pathlib import Path
from typing import Counter, Dict, List, NamedTuple, Set

from lhotse import MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.audio.sound_files import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.manifests import CorpusError, write_split
from icefall_discrete.data.own_corpora.formats.contract import AUTO, Reading, find_format
from icefall_discrete.data.own_corpora.report import Contents, write_report
from icefall_discrete.data.own_corpora.splits import WAYS, divide
from icefall_discrete.data.own_corpora.suspicions import hear, of_audio, of_copies, of_rates
from icefall_discrete.data.own_corpora.texts import TextRules, key_of, ruled
from icefall_discrete.data.small_corpora import SPLITS

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SourceConfig(TextRules):
    """Where an own corpus lies, and what of it is taken."""

    source: str = setting("", "folder or file with the audio and its texts; nothing is written there", formerly="from")
    source_format: str = setting(AUTO, "a format of data/own_corpora/formats, or auto: the one that suits the source")
    language: str = setting(
        "", "code of the language, such as en or pt-BR, of utterances of which the source says none"
    )
    columns: str = setting("", "columns of a table with other names than usual: audio=NAME,text=NAME,speaker=NAME,...")
    split_by: str = setting(
        "auto", "given: as the source says; speaker; text; auto: the first of these that can be", WAYS
    )
    sample_rate: int = setting(
        16000,
        "rate (Hz) that audio of other rates is resampled to as it is read",
        minimum=LOWEST_RATE_HZ,
        maximum=HIGHEST_RATE_HZ,
    )
    shortest: float = setting(0.3, "shortest utterance (s)", minimum=0)
    longest: float = setting(30.0, "longest utterance of training (s); dev and test keep all", above=0)
    exclude: str = setting("", "file with the ids of utterances to leave out, each the first word of a line")

    def require_told(self) -> None:
        """Raise ValueError if it is not said where the source lies, or in which language it is."""
        if not self.source:
            raise ValueError("--source is empty; say where the audio and its texts lie.")
        if not re.fullmatch(r"[a-zA-Z]{2,3}([-_]\w+)*", self.language):
            raise ValueError(f"--language is '{self.language}', expected a code such as en, cs or zh-TW.")

    @property
    def columns_by_thing(self) -> Dict[str, str]:
        """The columns that are named, by what they hold."""
        pairs = [part.partition("=") for part in self.columns.split(",") if part.strip()]
        if not all(name and sign for name, sign, _ in pairs):
            raise ValueError(f"--columns is '{self.columns}', expected audio=NAME,text=NAME and so on.")
        return {name.strip(): column.strip() for name, _, column in pairs}


class Contained(NamedTuple):
    """An own corpus in memory: `contents` for its report, and the name of its format."""

    contents: Contents
    format_name: str


def _excluded(config: SourceConfig) -> Set[str]:
    if config.exclude and not Path(config.exclude).is_file():
        raise ValueError(f"--exclude {config.exclude} is no file; give a list of ids, each the first word of a line.")
    lines = numbered_lines(Path(config.exclude)) if config.exclude else ()
    return {line.split()[0] for _, line in lines}


def _length_reason(cut: MonoCut, split: str, config: SourceConfig) -> str:
    if cut.duration < config.shortest:
        return f"shorter than {config.shortest:g} s"
    is_long = split == "train" and cut.duration > config.longest
    return f"longer than {config.longest:g} s, and training" if is_long else ""


def read_corpus(config: SourceConfig, title: str, audio_dir: Path, num_jobs: int, num_heard: int) -> Contained:
    """Read a source, and find out what is in it; audio is decoded of `num_heard` utterances at most.

    Args:
      title: of the report. audio_dir: for audio that lies within a table.
    Raises:
      CorpusError, ValueError, OSError: for what is wrong with the source as a whole.
    """
    config.require_told()
    source = Path(config.source).resolve()
    name, kind = find_format(config.source_format, source)
    LOG.info(f"{source}: read as {name}")
    found = kind.read(source, Reading(config.language, config.columns_by_thing, num_jobs, audio_dir))
    dropped: Counter[str] = collections.Counter()
    excluded, kept, keys = _excluded(config), [], {}
    for cut in found.cuts:
        (said,) = cut.supervisions
        written, language = said.text or "", said.language or config.language
        text, reason = ruled(written, language, config)
        reason = "excluded by its id" if cut.id in excluded else reason or _length_reason(cut, "", config)
        if reason:
            dropped[reason] += 1
            continue
        keys[cut.id] = key_of(written, language)
        kept.append(fastcopy(cut, supervisions=[fastcopy(said, text=text, custom={"written": written})]))
    if not kept:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.most_common())
        raise CorpusError(f"{source}: no utterance is left of {len(found.cuts)} ({reasons or 'none could be read'}).")
    splits, told = divide(kept, keys, found.splits, config.split_by)
    lengths = {cut.id: _length_reason(cut, splits[cut.id], config) for cut in kept}
    dropped.update(collections.Counter(filter(None, lengths.values())))
    cuts: List[MonoCut] = [cut for cut in kept if not lengths[cut.id]]
    if not any(splits[cut.id] == "train" for cut in cuts):
        raise CorpusError(
            f"{source}: no utterance is left to train on: all {len(kept) - len(cuts)} of the training split are longer "
            f"than {config.longest:g} s; give a longer --longest, or divide them in their pauses."
        )
    texts = {cut.id: cut.supervisions[0].text or "" for cut in cuts}
    heard = hear(cuts, num_heard, num_jobs)
    suspicions = [*of_audio(heard, texts), *of_rates(cuts), *(of_copies(cuts, splits) if num_heard else ())]
    contents = Contents(title, cuts, splits, told, keys, dropped, found.unusable, suspicions, heard)
    return Contained(contents, name)


def write_corpus(contents: Contents, corpus: str, data_dir: Path, sample_rate_hz: int) -> Path:
    """Write the manifests of all splits and the report; return its path.

    Args:
      corpus: name of the manifests. sample_rate_hz: that audio of other rates is resampled to as it is read.
    """
    for split in SPLITS:
        cuts = (cut for cut in contents.cuts if contents.splits[cut.id] == split)
        write_split(data_dir / "manifests", corpus, split, (_at_rate(cut, sample_rate_hz) for cut in cuts))
    return write_report(contents, data_dir)


def _at_rate(cut: MonoCut, sample_rate_hz: int) -> MonoCut:
    return cut if cut.sampling_rate == sample_rate_hz else cut.resample(sample_rate_hz)
