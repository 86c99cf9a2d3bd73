"""Phones of words by espeak-ng, a program that is no part of this project; where it is not installed, letters serve."""

import re
import shutil
import subprocess
from typing import List, Sequence

PROGRAM = "espeak-ng"
_APART = "_"
_CLAUSE_END = "\n\n"
_LANGUAGE_MARK = re.compile(r"\([a-z-]+\)")  # around words that it says as those of another language


def phones_of_words(words: Sequence[str], language: str) -> List[List[str]]:
    """The phones of each word, said by itself, in IPA with stress marks before vowels.

    Args:
      language: as espeak-ng names it, such as en, en-us or fr-fr.
    Raises:
      ImportError: if it is not installed. ValueError: if it does not know the language, or says nothing of a word.
    """
    if shutil.which(PROGRAM) is None:
        raise ImportError(
            f"phones need the program {PROGRAM}, which is not found; install it (Debian: apt install {PROGRAM}), or "
            "train on letters (--front letters)."
        )
    said = _clauses(_CLAUSE_END.join(words), language)
    if len(said) != len(words):  # a word with a sign within it may be several clauses
        said = [[phone for clause in _clauses(word, language) for phone in clause] for word in words]
    silent = [word for word, phones in zip(words, said) if not phones]
    if silent:
        raise ValueError(f"{PROGRAM} says nothing for '{silent[0]}' in language '{language}'; write it otherwise.")
    return said


def _clauses(text: str, language: str) -> List[List[str]]:
    command = [PROGRAM, "-q", "--ipa", f"--sep={_APART}", "-v", language, "--stdin"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            f"{PROGRAM} knows no language '{language}' ({' '.join(done.stderr.split())}); correct it, or train on "
            "letters (--front letters)."
        )
    lines = _LANGUAGE_MARK.sub("", done.stdout).splitlines()
    return [list(filter(None, re.split(rf"[{_APART}\s]+", line))) for line in lines if line.strip()]
