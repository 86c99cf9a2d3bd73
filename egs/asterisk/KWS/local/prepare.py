#!/usr/bin/env python3
"""Stage 1: prompts of a digit or a letter -> validated lhotse cuts, `asterisk_keywords_cuts_{train,dev,test}.jsonl.gz`.

They are taken out of the manifests of all prompts. A class, the fact `keyword`, is a digit, 1 to 9, or a letter, a to
z, in whatever language. Each prompt exists once, so that what is held out is a form of the word: see README.md.
"""

import collections
import dataclasses
import logging
import re
import string
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from lhotse import MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.class_corpora import write_cuts_of_classes
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError, manifest_path

LOG = logging.getLogger("prepare")
SPLITS = ("train", "dev", "test")
CORPUS, KEYWORDS = "asterisk", "asterisk_keywords"
LANGUAGES = ("en", "es", "fr", "it", "ru")
_NUMBER = re.compile(r"digits/(?P<ordinal>h-)?(?:(?P<unit>[1-9])|(?P<teen>1[1-9])|(?P<ten>[1-9])0)")
_LETTER = re.compile(r"(?:letters/(?P<name>[a-z])|phonetic/(?P<spelled>[a-z])_p)")
# Said as sixty-ten, four-twenties and four-twenty-ten: other digits than those that are written.
_OTHER_DIGITS = {("fr", "7"), ("fr", "8"), ("fr", "9")}


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where everything lies."""

    data_dir: str = setting("data", "folder whose manifests/ holds those of all prompts, and gets those of keywords")


class Keyword(NamedTuple):
    """What a prompt says, and the split that this form of it belongs to."""

    word: str
    split: str


def number_of(found: "re.Match[str]", language: str) -> Optional[Keyword]:
    """The digit of a number: ordinals of 11 to 19 are test, of 10 to 90 dev; None where another digit is said."""
    digit = found["unit"] or (found["teen"] or "")[1:] or found["ten"]
    if found["ten"] and (language, digit) in _OTHER_DIGITS:
        return None
    if not found["ordinal"] or found["unit"]:
        return Keyword(digit, "train")
    return Keyword(digit, "test" if found["teen"] else "dev")


def letter_of(found: "re.Match[str]", language: str) -> Keyword:
    """The letter: its spelling word is test in one language and dev in another, in turn from letter to letter."""
    if found["name"]:
        return Keyword(found["name"], "train")
    turn = (string.ascii_lowercase.index(found["spelled"]) - LANGUAGES.index(language)) % len(LANGUAGES)
    return Keyword(found["spelled"], {0: "test", 1: "dev"}.get(turn, "train"))


def keyword_of(prompt_id: str, language: str) -> Optional[Keyword]:
    """The keyword of a prompt; None if it has none, or more than one."""
    number = _NUMBER.fullmatch(prompt_id)
    if number:
        return number_of(number, language)
    letter = _LETTER.fullmatch(prompt_id)
    return letter_of(letter, language) if letter else None


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the manifests of all prompts are not there, or hold none of the keywords.
    """
    folder = Path(config.data_dir) / "manifests"
    splits: Dict[str, List[MonoCut]] = {split: [] for split in SPLITS}
    count: collections.Counter = collections.Counter()
    for split in SPLITS:
        path = manifest_path(folder, CORPUS, split)
        if not path.is_file():
            raise CorpusError(f"{path} does not exist; prepare the corpus first.")
        for cut in load_cuts(path):
            said = cut.supervisions[0]
            found = keyword_of(said.custom["prompt_id"], said.language)
            if found is None:
                count["none"] += 1
                continue
            custom = {**said.custom, "keyword": found.word}
            splits[found.split].append(fastcopy(cut, supervisions=[fastcopy(said, custom=custom)]))
            count[said.language, found.split] += 1
    LOG.info(f"{count['none']} prompts have no keyword, or several, and are left out")
    write_cuts_of_classes(folder, KEYWORDS, "keyword", splits)
    for language in LANGUAGES:
        LOG.info(f"{language}: " + ", ".join(f"{split} {count[language, split]}" for split in SPLITS))


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
