#!/usr/bin/env python3
"""Text for language models where there is none but transcripts: sentences of LibreOffice's help, in many languages.

They come (MPL-2.0) from Debian's packages libreoffice-help-<language> by `apt-get download` (no root needed), or from a
folder where their .deb files lie. Written are the spoken words of the sentences, one sentence a line, each once; what
a transcript of --without says as a whole is left out.

Example: local/fetch_help_text.py --languages en,es --without data/manifests/my_cuts_test.jsonl.gz --output help.txt
"""

import dataclasses
import logging
import random
import re
from pathlib import Path
from typing import Iterator, List, Sequence, Set

from tqdm import tqdm

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.data.cuts import load_cuts, text_of
from icefall_discrete.data.debian_packages import find_packages, package_members
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.text.help_pages import sentences_in
from icefall_discrete.text.number_names import UnknownNumbers
from icefall_discrete.text.plain_words import plain_words

LOG = logging.getLogger("fetch_help_text")
_PACKAGE, _ENGLISH = "libreoffice-help-{}", "en-us"
_CODE = re.compile(r"[a-z]+(-[a-z]+)*")
_PAGE = re.compile(r"usr/share/libreoffice/help/[^/]+/text/.+\.html")


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """Which sentences are kept."""

    max_sentences: int = setting(15000, "most sentences of a language, drawn at random; 0: all", minimum=0)
    max_words: int = setting(30, "longest sentence in words", minimum=1)
    seed: int = setting(42, "of the draw", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--languages", required=True, help="codes of the languages, by commas, such as en,es")
    parser.add_argument("--output", type=Path, required=True, help="text file to write")
    parser.add_argument(
        "--without",
        type=Path,
        action="append",
        default=[],
        help="manifest whose transcripts are left out, such as those of dev and test (repeatable)",
    )
    parser.add_argument(
        "--packages-dir",
        type=Path,
        default=Path("download/help"),
        help="folder of the .deb files (default: %(default)s)",
    )
    add_flags(parser, DrawConfig)
    return parser


def pages_of(language: str, folder: Path) -> Iterator[str]:
    """Yield the pages of a language.

    Raises:
      CorpusError: if its package is not to be had, with the reason and what to put where.
    """
    package = _PACKAGE.format(_ENGLISH if language == "en" else language)
    try:
        (deb,) = find_packages([package], folder)
        for path, content in package_members(deb):
            if _PAGE.fullmatch(path):
                yield content.decode("utf-8", errors="replace")
    except CorpusError as error:
        raise CorpusError(
            f"cannot read the help in '{language}': {str(error).rstrip('.')}. Leave the language out, or check the "
            f"network and run again, or fetch Debian's package {package} by hand "
            f"(https://packages.debian.org/{package}) and put its .deb file into {folder}."
        ) from None


def sentences_of(language: str, folder: Path, known: Set[str], config: DrawConfig) -> List[str]:
    """The spoken words of the sentences of a language that are kept, in the order of the pages."""
    pages = tqdm(pages_of(language, folder), desc=f"Help in {language}", unit=" pages", leave=False)
    written = dict.fromkeys(sentence for page in pages for sentence in sentences_in(page))
    try:
        spoken = dict.fromkeys(plain_words(sentence, language) for sentence in written)
    except UnknownNumbers as error:
        raise CorpusError(f"the help in '{language}' has numbers: {error} Leave the language out.") from None
    found = [text for text in spoken if 0 < len(text.split()) <= config.max_words]
    kept = [text for text in found if text not in known]
    if not kept:
        raise CorpusError(f"the help in '{language}' has no sentence of at most {config.max_words} words; raise it.")
    drawn = range(len(kept))
    if 0 < config.max_sentences < len(kept):
        drawn = sorted(random.Random(config.seed).sample(drawn, config.max_sentences))
    counts = len(found), len(found) - len(kept), len(drawn)
    LOG.info("%s: %d sentences, %d of them transcripts of --without; %d are kept", language, *counts)
    return [kept[place] for place in drawn]


def fetch(languages: Sequence[str], output: Path, folder: Path, known: Set[str], config: DrawConfig) -> int:
    """Write the sentences of all languages; returns their number."""
    lines = [line for language in languages for line in sentences_of(language, folder, known, config)]
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, "".join(f"{line}\n" for line in lines))
    return len(lines)


def main() -> None:
    """Fetch, draw and write."""
    args = get_parser().parse_args()
    languages = some_names_in(args.languages, "languages")
    strange = [name for name in languages if not _CODE.fullmatch(name)]
    if strange:
        raise ValueError(f"--languages has {strange[0]!r}; give codes as Debian has them, such as es,pt-br.")
    known = {text_of(cut) for path in args.without for cut in load_cuts(path)}
    number = fetch(languages, args.output, args.packages_dir, known, override(DrawConfig(), args))
    LOG.info("%s: %d sentences", args.output, number)


if __name__ == "__main__":
    run_script(main)
