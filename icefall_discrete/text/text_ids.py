"""Texts as ids of a language model: bytes of UTF-8, or whatever divides texts otherwise (published_pieces.py)."""

from typing import Iterable, List, Optional, Protocol, Sequence

NUM_BYTES = 256


class TextIds(Protocol):
    """Ids 0 to `size` - 1 of pieces of text."""

    @property
    def size(self) -> int:
        """Number of ids."""

    @property
    def sayable(self) -> Sequence[int]:
        """The ids that texts consist of, in order."""

    def ids(self, text: str) -> List[int]:
        """Ids of a text. Raises ValueError, the end of a sentence about it, for what none of them can say."""

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids, without what no text is."""

    def written(self, ids: Sequence[int]) -> str:
        """The text of ids, of which `ids` gives these again where it gave them."""

    def id_of(self, name: str) -> Optional[int]:
        """The id of a mark that they know by this name, or None."""

    def means_the_same(self, other: "TextIds") -> bool:
        """Whether each id is the same piece in `other`."""


class ByteText:
    """A byte of UTF-8 an id, so that no letter is unknown; bytes that are no UTF-8 are written as surrogates."""

    @property
    def size(self) -> int:
        """256."""
        return NUM_BYTES

    @property
    def sayable(self) -> Sequence[int]:
        """All of them."""
        return range(NUM_BYTES)

    def ids(self, text: str) -> List[int]:
        """Bytes of a text. Raises ValueError for what no text is: halves of pairs of UTF-16."""
        try:
            return list(text.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            raise ValueError(f"the text has {text[error.start]!r}, which is no letter; correct it.") from None

    def text(self, ids: Iterable[int]) -> str:
        """The text of bytes; those that are no UTF-8 are left out."""
        return bytes(ids).decode("utf-8", "ignore")

    def written(self, ids: Sequence[int]) -> str:
        """The text of bytes, those that are no UTF-8 as Python's surrogateescape writes them."""
        return bytes(ids).decode("utf-8", "surrogateescape")

    def id_of(self, name: str) -> Optional[int]:
        """None: bytes are no marks."""
        return None

    def means_the_same(self, other: TextIds) -> bool:
        """Whether the other has bytes too."""
        return isinstance(other, ByteText)


BYTES = ByteText()
