"""Pieces of published language models: the tokenizer.json of a folder of transformers, read as data."""

import functools
from pathlib import Path
from typing import Any, Iterable, List, Optional, Sequence

from icefall_discrete.base.atomic_files import write_bytes
from icefall_discrete.text.text_ids import TextIds

FILE = "tokenizer.json"


class PublishedPieces:
    """Texts as a published language model divides them; marks that it knows in text are no marks here.

    Args:
      source: bytes of a tokenizer.json. where: the file, for sentences.
    Raises:
      ImportError: without the library tokenizers. ValueError: if it is another file, or has no pieces.
    """

    def __init__(self, source: bytes, where: str) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ImportError(
                f"{where} needs tokenizers, which come with transformers; pip install 'icefall-discrete[transformers]' "
                f"({error})."
            ) from error
        self._source, self.where = source, where
        try:
            self._made: Any = Tokenizer.from_str(source.decode("utf-8"))
        except Exception as error:  # the library's are bare
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise ValueError(f"{where} is no tokenizer of transformers ({reason}); fetch the model anew.") from None
        self._made.encode_special_tokens = True
        self._made.no_padding()
        self._made.no_truncation()

    @classmethod
    def read(cls, folder: Path) -> "PublishedPieces":
        """Those of a folder. Raises FileNotFoundError if it has none, else as the class."""
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist; give a folder of transformers that has one (models of before are given one "
                "by its AutoTokenizer, save_pretrained), or leave --text-pieces away, for bytes."
            )
        return cls(path.read_bytes(), str(path))

    @functools.cached_property
    def size(self) -> int:
        """The largest id, and one more."""
        return max(self._made.get_vocab(with_added_tokens=True).values()) + 1

    @functools.cached_property
    def sayable(self) -> Sequence[int]:
        """Pieces that are no marks."""
        marks = self._made.get_added_tokens_decoder()
        return sorted(set(self._made.get_vocab(with_added_tokens=False).values()) - set(marks) - {self._unknown})

    @functools.cached_property
    def _unknown(self) -> int:
        found = self._made.token_to_id(getattr(self._made.model, "unk_token", None) or "<unk>")
        return -1 if found is None else int(found)

    def ids(self, text: str) -> List[int]:
        """Ids of a text. Raises ValueError for what has no piece."""
        try:
            found = self._made.encode(text, add_special_tokens=False)
        except UnicodeEncodeError as error:
            raise ValueError(f"the text has {text[error.start]!r}, which is no letter; correct it.") from None
        if self._unknown in found.ids:
            begin, end = found.offsets[found.ids.index(self._unknown)]
            raise ValueError(
                f"the text has {text[begin:end]!r}, which has no piece in {self.where}; write it otherwise, or train "
                "with bytes, without --text-pieces."
            )
        return list(found.ids)

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids, marks left out."""
        return self._made.decode(list(ids), skip_special_tokens=True)

    def written(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return self._made.decode(list(ids), skip_special_tokens=False)

    def id_of(self, name: str) -> Optional[int]:
        """The id of a mark, or a piece, of that name."""
        return self._made.token_to_id(name)

    def means_the_same(self, other: TextIds) -> bool:
        """Whether the other was read from the same bytes."""
        return isinstance(other, PublishedPieces) and other._source == self._source

    def save(self, folder: Path) -> None:
        """Write the file as it was read."""
        write_bytes(folder / FILE, self._source)
