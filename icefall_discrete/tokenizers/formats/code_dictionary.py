"""Dictionaries of codes that stand together, as fairseq writes them: a line `13-207 4711` a symbol, with its count.

fairseq's `examples/wav2vec/vq-wav2vec_featurize.py` writes the codes of a frame joined by hyphens, and its dictionary
counts these, the most frequent first. Ids of its models are places in that list behind four symbols of their own;
other lines than codes are symbols that no frame has, such as those that fill a table up.
"""

import re
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Tuple

from icefall_discrete.base.text_files import numbered_lines

# Symbols before those of the file, in fairseq's order, and the one that masked training adds behind them.
OWN_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")
MASK_SYMBOL = "<mask>"
_CODES = re.compile(r"\d{1,9}(-\d{1,9})*")
_MARK = "#fairseq:overwrite"

Codes = Tuple[int, ...]


class CodeDictionary(NamedTuple):
    """Codes that stand together, each with the row that fairseq's tables have for it; rows of `<mask>` and `<unk>`."""

    codes: List[Codes]
    rows: List[int]
    mask_row: int
    unknown_row: int = OWN_SYMBOLS.index("<unk>")


def as_symbol(codes: Iterable[int]) -> str:
    """How the codes of one frame are written.

    >>> as_symbol((13, 207))
    '13-207'
    """
    return "-".join(map(str, codes))


def write_dictionary(counts: Dict[Codes, int]) -> str:
    """The text of a dictionary file, the most frequent first, equally frequent ones by their codes."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{as_symbol(codes)} {count}\n" for codes, count in ordered)


def parse_dictionary(lines: Iterable[Tuple[int, str]], where: str) -> CodeDictionary:
    """Read the numbered lines of a dictionary file.

    Raises:
      ValueError: naming the line, if it is none, or codes stand in two lines or are of another number than the first.
    """
    row = len(OWN_SYMBOLS)
    found: Dict[Codes, int] = {}
    seen = {*OWN_SYMBOLS, MASK_SYMBOL}
    for number, line in lines:
        parts = line.split()
        if len(parts) == 3 and parts[2] == _MARK:
            parts.pop()
        if len(parts) != 2 or not parts[1].isdecimal():
            raise ValueError(f"{where}:{number}: {line.strip()[:60]!r}, expected a symbol and its count.")
        symbol = parts[0]
        if symbol in seen:
            raise ValueError(f"{where}:{number}: {symbol[:60]!r} stands in the dictionary already; correct the file.")
        seen.add(symbol)
        if _CODES.fullmatch(symbol):
            codes = tuple(map(int, symbol.split("-")))
            width = len(next(iter(found), codes))
            if codes in found or len(codes) != width:
                raise ValueError(f"{where}:{number}: {symbol!r}, expected {width} codes that no other line has.")
            found[codes] = row
        row += 1
    if not found:
        raise ValueError(f"{where} has no codes such as 13-207; give the dictionary beside the checkpoint.")
    return CodeDictionary(list(found), list(found.values()), row)


def read_dictionary(path: Path) -> CodeDictionary:
    """Read a dictionary file. Raises FileNotFoundError, or ValueError as parse_dictionary."""
    return parse_dictionary(numbered_lines(path), str(path))
