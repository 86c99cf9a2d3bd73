"""Unpaired text: lines of symbols, and where silence stands in them."""

import collections
from typing import List, NamedTuple, Sequence, Tuple

import torch

from icefall_discrete.base.provenance import digest_of_lines
from icefall_discrete.systems.wav2vec_u.config import TextConfig
from icefall_discrete.text.symbols import SPACE, front_named, is_sound

SILENCE = "<sil>"
SIL_ID = 0
_FEW = 2

Word = Tuple[str, ...]


class Text(NamedTuple):
    """symbols: names, silence first. lines: words of each line, each a row of numbers above 0. shuffled: a control."""

    symbols: List[str]
    lines: List[List[List[int]]]
    shuffled: bool = False

    @property
    def flat(self) -> List[List[int]]:
        """The lines without the bounds of words."""
        return [[symbol for word in line for symbol in word] for line in self.lines]

    @property
    def sha256(self) -> str:
        """Of symbols and lines."""
        return digest_of_lines([" ".join(self.symbols), *(str(line) for line in self.lines)])


def words_of(line: str, config: TextConfig) -> List[Word]:
    """The sounds of each word of a line. Raises ValueError, the end of a sentence, if there are none."""
    words: List[List[str]] = [[]]
    for symbol in front_named(config.front).symbols(line.lower(), config.text_language)[1:-1]:
        if symbol == SPACE:
            words.append([])
        elif config.front != "letters" or is_sound(symbol):
            words[-1].append(symbol)
    return [tuple(word) for word in words if word]


def read_text(lines: Sequence[str], config: TextConfig, where: str) -> Text:
    """Symbols and lines of a text; of equal lines one stays as often as it stands there.

    Raises:
      ValueError: if hardly anything can be used; why is counted. For phones of no language.
    """
    if config.front == "phones" and not config.text_language:
        raise ValueError("--front is phones, and whose is not said; give a --text-language of espeak-ng, such as de.")
    kept: List[List[Word]] = []
    left_out: collections.Counter = collections.Counter()
    for line in lines:
        try:
            words = words_of(line, config)
        except ValueError as error:
            if config.front != "letters" and any(map(is_sound, line)):
                raise ValueError(f"{where}: {error}") from None
            left_out["nothing in it is said"] += 1
            continue
        if len(words) < config.min_words:
            left_out[f"fewer than {config.min_words} words (min_words)"] += 1
            continue
        kept.append(words)
    counts = collections.Counter(symbol for words in kept for word in words for symbol in word)
    names = sorted(symbol for symbol, count in counts.items() if count >= config.min_symbol_count)
    number = {symbol: place for place, symbol in enumerate(names, start=1)}
    rows = [[[number[one] for one in word if one in number] for word in words] for words in kept]
    rows = [[word for word in words if word] for words in rows]
    rows = [words for words in rows if words]
    if len(rows) < _FEW or len(names) < _FEW:
        why = ", ".join(f"{count} lines: {reason}" for reason, count in left_out.items()) or "nothing was left out"
        raise ValueError(
            f"{where}: {len(rows)} of {len(lines)} lines with {len(names)} different sounds can be used, expected at "
            f"least two of each ({why}); give a text with a sentence on each line."
        )
    return Text([SILENCE, *names], rows)


def with_silence(words: Sequence[Sequence[int]], prob: float, generator: torch.Generator) -> List[int]:
    """The symbols of a line: silence at both ends, and with probability `prob` between two words."""
    draws = torch.rand(len(words), generator=generator).tolist()
    row = [SIL_ID]
    for place, word in enumerate(words):
        if place and draws[place] < prob:
            row.append(SIL_ID)
        row += word
    return [*row, SIL_ID]


def shuffled_text(text: Text, seed: int) -> Text:
    """The symbols of each line in random order, words as long as before: a control that nothing can be learnt from."""
    generator = torch.Generator().manual_seed(seed)
    lines = []
    for words in text.lines:
        flat = [symbol for word in words for symbol in word]
        order = iter([flat[place] for place in torch.randperm(len(flat), generator=generator).tolist()])
        lines.append([[next(order) for _ in word] for word in words])
    return text._replace(lines=lines, shuffled=True)
