"""The ids of a model of text and speech: pieces of text, marks, and codes; and how they are written, exactly.

Codes are written as SpeechGPT (https://arxiv.org/abs/2305.11000) writes units, `<sosp><12><400><eosp>`; of several
codebooks with the number of the codebook, `<0:12><1:400>`. Text is UTF-8, a byte an id, so that no letter is unknown,
or the pieces of a published model. In writing, a backslash stands before each `<`, `[` and backslash of text, which
would else begin a mark; bytes that are no UTF-8, as a model may say them, are written as Python's surrogateescape does.
Both ways lose nothing, but where pieces divide a text in another way than they would by themselves.

Letters: T frames, K codebooks, V_k their sizes.
"""

import dataclasses
import functools
import itertools
import re
from typing import Dict, List, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.systems.unit_lm.patterns import require_units
from icefall_discrete.text.text_ids import BYTES, TextIds

EOS, SPEECH, SPEECH_END, MASK = "<eos>", "<sosp>", "<eosp>", "<mask>"
MARKS = (EOS, SPEECH, SPEECH_END, MASK, "[Human]", "[SpeechGPT]", "<eoh>", "<eoa>")
_ESCAPED = re.compile(r"[<\[\\]")
_PARTS = re.compile(r"\\([<\[\\])|(<[\w:]+>|\[\w+\])|([<\[\\])", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Ids for codes of these codebooks, and for texts as `text` divides them."""

    codebook_sizes: Tuple[int, ...]
    text: TextIds = BYTES

    @property
    def size(self) -> int:
        """Number of ids: those of text, marks, codes of the codebooks one after the other."""
        return self.first_unit + sum(self.codebook_sizes)

    @property
    def first_mark(self) -> int:
        """The id of the first mark, behind those of text."""
        return self.text.size

    @property
    def first_unit(self) -> int:
        """The id of the first code."""
        return self.first_mark + len(MARKS)

    @property
    def starts(self) -> Tuple[int, ...]:
        """The first id of each codebook."""
        return tuple(self.first_unit + start for start in [0, *itertools.accumulate(self.codebook_sizes)][:-1])

    def mark(self, name: str) -> int:
        """The id of one of MARKS."""
        return self.first_mark + MARKS.index(name)

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of ids, those of marks and codes left out."""
        return self.text.text(one for one in ids if one < self.first_mark)

    def unit_ids(self, codes: Tensor) -> List[int]:
        """Ids of codes (T, K), the codes of a frame one after the other. Raises ValueError for codes of others."""
        require_units(codes, self.codebook_sizes)
        return (codes.long() + torch.tensor(self.starts)).flatten().tolist()

    def units_of(self, ids: Sequence[int]) -> Tensor:
        """The codes (T, K) among ids, of the frames that are whole.

        Raises:
          ValueError: if the codes of a frame are not in the order of the codebooks.
        """
        books = len(self.codebook_sizes)
        units = torch.tensor([one for one in ids if one >= self.first_unit], dtype=torch.int64)
        codes = units[: len(units) // books * books].reshape(-1, books) - torch.tensor(self.starts)
        if bool(((codes < 0) | (codes >= torch.tensor(self.codebook_sizes))).any()):
            raise ValueError(f"codes of {books} codebooks are not in their order, expected one of each a frame.")
        return codes

    @functools.cached_property
    def names(self) -> Tuple[str, ...]:
        """How marks and codes are written, from `first_mark` on."""
        several = len(self.codebook_sizes) > 1
        codes = (
            f"<{book}:{code}>" if several else f"<{code}>"
            for book, size in enumerate(self.codebook_sizes)
            for code in range(size)
        )
        return (*MARKS, *codes)

    @functools.cached_property
    def _ids(self) -> Dict[str, int]:
        return {name: number for number, name in enumerate(self.names, self.first_mark)}

    def written(self, ids: Sequence[int]) -> str:
        """Ids as a line of SpeechGPT's data."""
        parts: List[str] = []
        for is_text, run in itertools.groupby(ids, key=lambda one: one < self.first_mark):
            if is_text:
                parts.append(_ESCAPED.sub(lambda found: f"\\{found[0]}", self.text.written(list(run))))
            else:
                parts += [self.names[one - self.first_mark] for one in run]
        return "".join(parts)

    def read(self, written: str) -> List[int]:
        """The ids of what `written` gave. Raises ValueError for a mark, or a code, that there is not."""
        ids: List[int] = []
        text, done = "", 0
        for found in _PARTS.finditer(written):
            text += written[done : found.start()]
            escaped, name, bare = found.groups()
            if bare or (name and name not in self._ids):
                shown = name or bare
                raise ValueError(
                    f"'{shown}' is neither a mark ({', '.join(MARKS)}) nor one of {sum(self.codebook_sizes)} codes; "
                    f"correct it, or write \\{shown[0]} where it is text."
                )
            if escaped:
                text += escaped
            else:
                ids += [*self._text_ids(text), self._ids[name]]
                text = ""
            done = found.end()
        return ids + self._text_ids(text + written[done:])

    def _text_ids(self, text: str) -> List[int]:
        return self.text.ids(text) if text else []
