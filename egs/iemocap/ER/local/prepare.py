#!/usr/bin/env python3
"""Stage 1: IEMOCAP -> validated lhotse cuts of four emotions, `iemocap_cuts_{train,dev,test}.jsonl.gz`.

Session<n>/dialog/EmoEvaluation/<dialogue>.txt holds a line an utterance with the emotion that most annotators heard,
Session<n>/sentences/wav/<dialogue>/<utterance>.wav its audio, Session<n>/dialog/transcriptions/<dialogue>.txt its
words. Splits are sessions, so that no speaker is in two of them. The emotion is the fact `emotion`.
"""

import collections
import dataclasses
import logging
import re
from pathlib import Path
from typing import Dict, Iterator, Tuple

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.class_corpora import Listed, write_classes
from icefall_discrete.data.manifests import CorpusError, require_paths

LOG = logging.getLogger("prepare")
SESSIONS = (1, 2, 3, 4, 5)
EMOTIONS = {"neu": "neutral", "ang": "angry", "sad": "sad", "hap": "happy", "exc": "happy"}
ADVICE = "unpack IEMOCAP_full_release again"
_JUDGED = re.compile(r"\[\d+\.\d+ - \d+\.\d+\]\t(?P<name>\w+)\t(?P<emotion>\w{3})\t")
_SAID = re.compile(r"(?P<name>\w+) \[\d+\.\d+-\d+\.\d+\]: (?P<text>.*)")


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which sessions are held out, and where everything lies."""

    corpus_dir: str = setting("download/IEMOCAP_full_release", "folder of the corpus, which holds Session1 to Session5")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    test_session: int = setting(5, "session that is tested", choices=SESSIONS)
    dev_session: int = setting(4, "session that is for development", choices=SESSIONS)
    nj: int = setting(2, "processes that read headers of audio")

    def split_of(self, session: int) -> str:
        """The split of a session."""
        return {self.test_session: "test", self.dev_session: "dev"}.get(session, "train")


def judgements(path: Path) -> Iterator[Tuple[str, str]]:
    """Utterance and emotion of each summary line of a dialogue, which begins with a bracket.

    Raises:
      CorpusError: for such a line that says something else, naming it.
    """
    for number, line in numbered_lines(path):
        if not line.startswith("["):
            continue  # what each annotator heard
        found = _JUDGED.match(line)
        if found is None:
            raise CorpusError(
                f"{path}, line {number}: expected [begin - end], utterance, emotion and ratings between tabs, got "
                f"{line[:60]!r}; {ADVICE}."
            )
        yield found["name"], found["emotion"]


def read_texts(folder: Path) -> Dict[str, str]:
    """Words of the utterances of a session by id, as they are written; other lines of the files are of no utterance."""
    lines = (line for path in sorted(folder.glob("Ses*.txt")) for _, line in numbered_lines(path))
    return {found["name"]: found["text"].strip() for found in map(_SAID.match, lines) if found}


def read_session(corpus_dir: Path, session: int, dropped: collections.Counter) -> Dict[str, Listed]:
    """Utterances of a session by id; those of other emotions are counted in `dropped`.

    The letter before an utterance's number says who of the session's two speakers it is, a woman or a man.
    """
    folder = corpus_dir / f"Session{session}"
    texts = read_texts(folder / "dialog" / "transcriptions")
    utterances = {}
    for path in sorted((folder / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
        for name, emotion in judgements(path):
            if emotion not in EMOTIONS:
                dropped[emotion] += 1
                continue
            gender = name.rpartition("_")[2][:1]
            audio = folder / "sentences" / "wav" / path.stem / f"{name}.wav"
            custom = {"emotion": EMOTIONS[emotion], "session": str(session)}
            speaker = f"Ses{session:02d}{gender}"
            utterances[name] = Listed(audio, custom, texts.get(name, ""), "en", speaker, gender)
    return utterances


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole, or test and dev are the same session.
    """
    if config.test_session == config.dev_session:
        raise CorpusError(f"session {config.test_session} cannot be both test and dev; choose two of them.")
    corpus_dir = Path(config.corpus_dir)
    parts = ("dialog/EmoEvaluation", "dialog/transcriptions", "sentences/wav")
    require_paths(corpus_dir, [f"Session{session}/{part}" for session in SESSIONS for part in parts], ADVICE)
    dropped: collections.Counter = collections.Counter()
    splits: Dict[str, Dict[str, Listed]] = {"train": {}, "dev": {}, "test": {}}
    for session in SESSIONS:
        splits[config.split_of(session)].update(read_session(corpus_dir, session, dropped))
    for emotion, number in dropped.most_common():
        LOG.info(f"left out, emotion {emotion}: {number}")
    write_classes(Path(config.data_dir) / "manifests", "iemocap", "emotion", splits, config.nj, ADVICE)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
