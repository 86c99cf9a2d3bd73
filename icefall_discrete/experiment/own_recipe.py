"""The recipe of an own corpus: a folder of choices, made from what the corpus was found to hold."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any, Dict, List, Mapping

from icefall_discrete.base.atomic_files import copy_file, new_folder, write_text
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.own_corpora.preparation import SourceConfig, read_corpus
from icefall_discrete.data.own_corpora.report import REPORT, Contents, characters_of, hours_of, report, write_report

DEFAULT_FEATURE_TYPE = "whisper_base_l5l0_2km1000"
_TASK = "ASR"
_EXCLUDED = "conf/excluded.txt"
_NAME = re.compile("[a-z][a-z0-9_]{0,40}")
_SMALL_HOURS = 10.0  # up to so many a corpus is small for the recipes
_PIECES = ((2.0, 80), (4.0, 120), (_SMALL_HOURS, 200))  # below so many hours, so many pieces
_MOST_PIECES = 500
_PIECES_BESIDE_CHARACTERS = 20
_FEW_CHARACTERS = 3000  # of training text, that no pieces of several characters can be learnt from
_CHARACTERS_A_WORD = 12.0  # of more a text is written without spaces
_SCRIPT = """#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

. "$ROOT/tools/recipe_options.sh"
. "$ROOT/tools/own_corpus_options.sh"
help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for @name@ on discrete tokens.
Stages (each is done once; a rerun continues where it stopped):
  0  the corpus: is it there?
  1  manifests: texts by the rules, splits, a report on what is in the corpus
$SHARED_STAGES
$SHARED_NOTES"
source=$HERE/download/source           # the audio and its texts, or a link to them; nothing is written there
@choices@. "$ROOT/tools/parse_options.sh"

corpus=@name@
title=@title@
. "$ROOT/tools/own_corpus.sh"
run_stages
"""
_README = """# @name@

A corpus of one's own in language @language@, of format @format@; made by tools/new_corpus.sh.

```bash
./run.sh                      # all stages, from the corpus to error rates in RESULTS.md
./run.sh --dry-run true       # what each stage would do
./run.sh --stop-stage 1       # manifests, and a report on what is in the corpus: data/report.md, data/suspicious.tsv
./run.sh --help               # stages and options
```

The audio and its texts stay where they are; `download/source` is a link to them, and is not part of the recipe. On
another machine make it point to where they lie there, or give `--source PATH`.

Splits: @splits@. Texts: `text_rule`, `numbers` and `tags` of run.sh say what is learnt of a written text.
@settings@
When it was made, the corpus had:

@sizes@
"""


@dataclasses.dataclass(frozen=True)
class NewRecipe:
    """What is to be made: the corpus's name, the folder of all recipes, and the recipe's feature type."""

    name: str
    egs_dir: Path
    feature_type: str = DEFAULT_FEATURE_TYPE

    @property
    def folder(self) -> Path:
        """The recipe's."""
        return self.egs_dir / self.name / _TASK

    def check(self) -> None:
        """Raise ValueError unless the name is one, and new."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"the name of the corpus is '{self.name}', expected small letters, digits and _, a letter first."
            )
        if (self.egs_dir / self.name).exists():
            raise ValueError(f"{self.egs_dir / self.name} is there already; choose another name, or move it away.")


def _pieces(contents: Contents, hours: float) -> Dict[str, Any]:
    texts = [cut.supervisions[0].text or "" for cut in contents.cuts if contents.splits[cut.id] == "train"]
    characters, words = sum(map(len, texts)), sum(len(text.split()) for text in texts)
    if characters < _FEW_CHARACTERS or characters > _CHARACTERS_A_WORD * words:
        return {"vocab_size": 0, "piece_type": "char"}
    size = next((pieces for most, pieces in _PIECES if hours < most), _MOST_PIECES)
    least = len(characters_of(contents.cuts)) + _PIECES_BESIDE_CHARACTERS
    return {"vocab_size": max(size, -(-least // 10) * 10)}


def recipe_settings(contents: Contents) -> Dict[str, Any]:
    """The recipe file that fits a corpus: its size says which it is based on, its text which pieces it has."""
    hours = hours_of(cut for cut in contents.cuts if contents.splits[cut.id] == "train")
    based_on = "small_corpus" if hours < _SMALL_HOURS else "default"
    pieces = _pieces(contents, hours)
    settings: Dict[str, Any] = {
        "description": f"What fits {hours_text(hours)} hours of training audio, and this text; to be changed.",
        "based_on": based_on,
    }
    if "piece_type" in pieces:  # as recipes of characters have it
        settings["model"] = {"context_size": 1}
    return {**settings, "bpe": pieces}


def _choices(new: NewRecipe, source: SourceConfig) -> str:
    """Lines of run.sh: the options that have another value than usual."""
    values, usual = to_dict(source), to_dict(SourceConfig())
    chosen = {"feature_type": new.feature_type}
    chosen.update({key: value for key, value in values.items() if key != "source" and value != usual[key]})
    lines: List[str] = [f"{key}={shlex.quote(str(value))}" for key, value in chosen.items()]
    return "".join(f"{line}\n" for line in lines)


def _filled(template: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        template = template.replace(f"@{key}@", value)
    return template


def make_recipe(new: NewRecipe, source: SourceConfig, num_jobs: int, num_heard: int) -> str:
    """Read a corpus and write its recipe, whole or not at all.

    Args:
      num_jobs: processes that read audio. num_heard: utterances that are decoded for the report, at most.
    Returns:
      what is in the corpus, and what to do next.
    Raises:
      ValueError: for a name that is none or is taken; as `read_corpus` for what is wrong with the source.
    """
    new.check()
    plain = from_dict(SourceConfig, {key: getattr(source, key) for key in to_dict(SourceConfig())}, "the flags")
    with new_folder(new.egs_dir / new.name) as unfinished:
        folder = unfinished / _TASK
        contents, kind = read_corpus(plain, new.name, folder / "data" / "audio", num_jobs, num_heard)
        page = report(contents)
        write_report(contents, folder / "data")
        settings = recipe_settings(contents)
        write_json(folder / "conf" / "recipes" / "default.json", settings)
        if plain.exclude:
            copy_file(plain.exclude, folder / _EXCLUDED)
        chosen = dataclasses.replace(plain, source_format=kind, exclude=_EXCLUDED if plain.exclude else "")
        choices = _choices(new, chosen)
        write_text(
            folder / "run.sh", _filled(_SCRIPT, {"choices": choices, "title": shlex.quote(new.name), "name": new.name})
        )
        readable = (folder / "run.sh").stat().st_mode
        (folder / "run.sh").chmod(readable | (readable & 0o444) >> 2)  # whoever may read it may run it
        sizes = page[page.index("| split") : page.index("\n\nSplits:")]
        said = {"name": new.name, "language": plain.language, "format": kind, "splits": contents.told, "sizes": sizes}
        write_text(folder / "README.md", _filled(_README, {**said, "settings": _settings_told(settings)}))
        (folder / "download").mkdir()
        (folder / "download" / "source").symlink_to(Path(plain.source).resolve())
    return f"{page}\n{new.folder} is made. Next: {new.folder / 'run.sh'} (this report: {new.folder / 'data' / REPORT})"


def _settings_told(settings: Dict[str, Any]) -> str:
    pieces = settings["bpe"]
    what = "single characters" if "piece_type" in pieces else f"{pieces['vocab_size']} pieces"
    return (
        f"`conf/recipes/default.json`, based on `{settings['based_on']}`, with {what} of text, was chosen by the size "
        "of the corpus and its text.\n"
    )
