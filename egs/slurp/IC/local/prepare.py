#!/usr/bin/env python3
"""Stage 1: SLURP -> validated lhotse cuts, `slurp_cuts_{train,dev,test}.jsonl.gz`.

dataset/slurp/{train,devel,test}.jsonl hold an object a line: a sentence, what is meant by it, and its recordings, which
lie in audio/slurp_real/. Facts of a cut: scenario (18 of them), action, intent (both together).
"""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.json_files import parse_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.shapes import OBJECTS, TEXT, require
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.class_corpora import Listed, write_classes
from icefall_discrete.data.manifests import CorpusError, require_paths

LISTS = {"train": "train", "dev": "devel", "test": "test"}
SYNTHETIC = "train_synthetic"
FACTS = ("scenario", "action", "intent")
ADVICE = "get the repository's dataset/slurp and unpack slurp_real.tar.gz (and slurp_synth.tar.gz) in audio/ again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """What is trained on, and where everything lies."""

    corpus_dir: str = setting("download/slurp", "folder of the corpus, which holds dataset/slurp and audio")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    synthetic: bool = setting(False, "train on synthesised speech too, train_synthetic.jsonl with audio/slurp_synth")
    nj: int = setting(2, "processes that read headers of audio")


def read_sentences(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Place and object of each line. Raises CorpusError for a line that is not of the corpus, naming it."""
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        try:
            values = parse_json(line)
            if not isinstance(values, dict):
                raise ValueError(f"{line[:60]!r} is no object")
            require(values, {"sentence": TEXT, "recordings": OBJECTS, **dict.fromkeys(FACTS, TEXT)}, "the sentence")
            for recording in values["recordings"]:
                require(recording, {"file": TEXT}, "a recording")
        except ValueError as error:
            raise CorpusError(f"{where}: {str(error).rstrip('.')}; {ADVICE}.") from None
        yield where, values


def read_list(corpus_dir: Path, name: str, audio: str) -> Dict[str, Listed]:
    """Recordings of a list by id, the file's name without suffix.

    Raises:
      CorpusError: for a line that is not of the corpus, or a recording of two sentences.
    """
    utterances: Dict[str, Listed] = {}
    for where, values in read_sentences(corpus_dir / "dataset" / "slurp" / f"{name}.jsonl"):
        custom = {fact: values[fact] for fact in FACTS}
        for recording in values["recordings"]:
            path = path_inside(corpus_dir / "audio" / audio, recording["file"], f"{where}: a recording")
            item = Listed(path, custom, values["sentence"], "en")
            if utterances.setdefault(path.stem, item) != item:
                raise CorpusError(f"{where}: recording {path.name} is of another sentence too; {ADVICE}.")
    return utterances


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole.
    """
    corpus_dir = Path(config.corpus_dir)
    names = [*LISTS.values(), *([SYNTHETIC] if config.synthetic else [])]
    folders = ["audio/slurp_real", *(["audio/slurp_synth"] if config.synthetic else [])]
    require_paths(corpus_dir, [*(f"dataset/slurp/{name}.jsonl" for name in names), *folders], ADVICE)
    splits = {split: read_list(corpus_dir, name, "slurp_real") for split, name in LISTS.items()}
    if config.synthetic:
        splits["train"].update(read_list(corpus_dir, SYNTHETIC, "slurp_synth"))
    write_classes(Path(config.data_dir) / "manifests", "slurp", "scenario", splits, config.nj, ADVICE)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
