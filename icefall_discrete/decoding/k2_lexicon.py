"""The words that LG and HLG can say, as pieces; text files as icefall writes them. Needs no k2."""

import re
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.text_files import read_text
from icefall_discrete.text.language_pieces import language_token
from icefall_discrete.text.pieces import UNK_ID, TextEncoder, reserved_strings
from icefall_discrete.text.words import WORD_START, words_in

FIRST_WORDS, LAST_WORDS = ("<eps>",), ("#0", "<s>", "</s>")  # ids 0 and the three highest of words.txt


class PieceGroup(NamedTuple):
    """The pieces of one word of a hypothesis: they are labels[start:stop]."""

    word: str
    start: int
    stop: int


class Lexicon:
    """Words and their spelling in pieces, one each.

    Args:
      pieces: all pieces, in the order of their ids.
      spellings: labels of each word.
    Raises:
      ValueError: if there is no word, or one has no spelling, or two share theirs.
    """

    def __init__(self, pieces: Sequence[str], spellings: Mapping[str, Sequence[int]]) -> None:
        self.pieces = list(pieces)
        self.spellings = {word: tuple(spellings[word]) for word in sorted(spellings)}
        self._word_of = {labels: word for word, labels in self.spellings.items()}
        if not self.spellings:
            raise ValueError("the lexicon has no word; give a text whose words the pieces can spell.")
        if () in self._word_of or len(self._word_of) < len(self.spellings):
            raise ValueError("two words of the lexicon have the same pieces, or one has none; make it anew.")

    @property
    def vocab_size(self) -> int:
        """Number of pieces V, the blank included."""
        return len(self.pieces)

    def word_table(self) -> Dict[str, int]:
        """Id of each word as in words.txt, <eps>, #0, <s> and </s> included."""
        return {word: number for number, word in enumerate([*FIRST_WORDS, *self.spellings, *LAST_WORDS])}

    def disambiguated(self) -> Tuple[Dict[str, Tuple[int, ...]], int]:
        """Spellings of which none begins another one, by symbols #1, #2, ... at their ends, and how many there are.

        #k has the id V + k; #0, id V, is the grammar's. As spellings differ, #1 alone is enough.
        """
        beginnings = {labels[:size] for labels in self._word_of for size in range(1, len(labels))}
        first = self.vocab_size + 1
        changed = {w: (*labels, first) if labels in beginnings else labels for w, labels in self.spellings.items()}
        return changed, int(any(labels in beginnings for labels in self._word_of))

    def groups(self, labels: Sequence[int]) -> List[PieceGroup]:
        """The words that pieces `labels` spell, in order; pieces that spell no word of the lexicon are left out."""
        begins = [i for i, label in enumerate(labels) if i == 0 or self.pieces[label].startswith(WORD_START)]
        spans = zip(begins, [*begins[1:], len(labels)])
        found = [(self._word_of.get(tuple(labels[start:stop])), start, stop) for start, stop in spans]
        return [PieceGroup(word, start, stop) for word, start, stop in found if word is not None]

    def write(self, folder: PathLike) -> None:
        """Write words.txt ("word id") and lexicon.txt ("word piece piece ...") to a folder."""
        table = self.word_table().items()
        write_text(Path(folder) / "words.txt", "".join(f"{word} {number}\n" for word, number in table))
        lines = (" ".join([word, *(self.pieces[label] for label in labels)]) for word, labels in self.spellings.items())
        write_text(Path(folder) / "lexicon.txt", "".join(line + "\n" for line in lines))


def make_lexicon(encoder: TextEncoder, texts: Iterable[str]) -> Tuple[Lexicon, List[str]]:
    """The lexicon of all words of `texts`, and the words left out because the pieces cannot spell them.

    A word is spelt as the encoder spells it within a sentence: sentencepiece cuts at spaces first. A language token
    (of `TextEncoder.marked`) is a word, spelt by itself.
    """
    if encoder.is_by_language:
        raise ValueError(
            "these pieces are those of single languages, so that a word has no one spelling; decode with a search that "
            "needs no lexicon, such as modified_beam_search."
        )
    tokens = {language_token(language): (label,) for language, label in encoder.language_tokens.items()}
    words = sorted({word for text in texts for word in words_in(text)})
    spellings = {word: tokens.get(word) or _spelling(word, encoder) for word in words}
    unspellable = [word for word, labels in spellings.items() if not labels]
    for word in unspellable:
        del spellings[word]
    return Lexicon(encoder.pieces(), spellings), unspellable


def _spelling(word: str, encoder: TextEncoder) -> Tuple[int, ...]:
    """Labels of a word; none if they would be those of another text, or of none."""
    is_reserved = any(string in word for string in reserved_strings(encoder.language_tokens))
    if is_reserved or word in (*FIRST_WORDS, *LAST_WORDS):
        return ()
    labels = encoder.encode(word)
    return () if UNK_ID in labels or encoder.decode(labels) != word else tuple(labels)


def read_lexicon(folder: PathLike, pieces: Sequence[str]) -> Lexicon:
    """Read the lexicon.txt that `Lexicon.write` wrote.

    Raises:
      FileNotFoundError: if it is not there, naming it and the stage that makes it.
      ValueError: if a line is malformed or names an unknown piece, naming the line.
    """
    path = Path(folder) / "lexicon.txt"
    label_of = {piece: label for label, piece in enumerate(pieces)}
    spellings: Dict[str, Sequence[int]] = {}
    for number, line in enumerate(_lines(path), start=1):
        word, *spelling = line.split() or [""]
        unknown = [piece for piece in spelling if label_of.get(piece, 0) <= UNK_ID]
        if unknown or not spelling:
            what = f"unknown piece {unknown[0][:80]}" if unknown else f"word {word[:80]!r} has no pieces"
            raise ValueError(f"{path}, line {number}: {what}; make it anew with local/compile_graphs.py.")
        spellings[word] = [label_of[piece] for piece in spelling]
    return Lexicon(pieces, spellings)


def read_token_table(path: PathLike) -> List[str]:
    """The pieces of a tokens.txt ("piece id" lines), in the order of their ids."""
    numbered = [line.rpartition(" ")[::2] for line in _lines(Path(path))]
    pieces = {int(label): piece for piece, label in numbered if re.fullmatch(r"\d{1,9}", label, re.ASCII)}
    if sorted(pieces) != list(range(len(numbered))):
        raise ValueError(f"{path}: expected a piece and its label a line, from 0 on; make it anew with its model.")
    return [pieces[label] for label in sorted(pieces)]


def _lines(path: Path) -> List[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make it with local/compile_graphs.py.")
    return read_text(path).rstrip("\n").split("\n")
