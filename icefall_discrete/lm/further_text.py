"""Text beyond the transcripts, for language models and graphs: a file with one sentence a line."""

from pathlib import Path
from typing import List, Tuple

from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.text.pieces import TextEncoder


def further_lines(path: Path, encoder: TextEncoder) -> List[Tuple[int, str]]:
    """The sentences of a text file, which `encoder` is to spell, and the numbers of their lines.

    Raises:
      ValueError: if the pieces need the language of each, or if there is none, so that a model would be that of the
        transcripts under another name; `NotUtf8` as `numbered_lines` does. FileNotFoundError: if there is no such file.
    """
    if encoder.languages:
        raise ValueError(f"{path} says no languages, but the pieces need them; leave --text out.")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no text file; give one with a sentence a line, or leave --text out.")
    lines = [(number, line.strip()) for number, line in numbered_lines(path)]
    if not lines:
        raise ValueError(f"{path} has no sentence, expected one a line; write some, or leave --text out.")
    return lines
