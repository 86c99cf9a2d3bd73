"""The ids of a model of text and speech: bytes of text, marks, and codes; and how they are written, exactly.

Codes are written as SpeechGPT (https://arxiv.org/abs/2305.11000) writes units, `<sosp><12><400><eosp>`; of several
codebooks with the number of the codebook, `<0:12><1:400>`. Text is UTF-8, a byte an id, so that no letter is unknown.
In writing, a backslash stands before each `<`, `[` and backslash of text, which would else begin a mark; bytes that are
no UTF-8, as a model may say them, are written as Python's surrogateescape does. Both ways lose nothing.

Letters: T frames, K codebooks, V_k their sizes.
"""

import dataclasses
import functools
import itertools
import re
from typing import Dict, List, Sequence, Tuple

import torch
from torch import Tensor

NUM_BYTES = 256
EOS, SPEECH, SPEECH_END, MASK = "<eos>", "<sosp>", "<eosp>", "<mask>"
MARKS = (EOS, SPEECH, SPEECH_END, MASK, "[Human]", "[SpeechGPT]", "<eoh>", "<eoa>")
_ESCAPED = re.compile(r"[<\[\\]")
_PARTS = re.compile(r"\\([<\[\\])|(<[\w:]+>|\[\w+\])|([<\[\\])", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Ids for codes of these codebooks."""

    codebook_sizes: Tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of ids: bytes, marks, codes of the codebooks one after the other."""
        return self.first_unit + sum(self.codebook_sizes)

    @property
    def first_unit(self) -> int:
        """The id of the first code."""
        return NUM_BYTES + len(MARKS)

    @property
    def starts(self) -> Tuple[int, ...]:
        """The first id of each codebook."""
        return tuple(self.first_unit + start for start in [0, *itertools.accumulate(self.codebook_sizes)][:-1])

    def mark(self, name: str) -> int:
        """The id of one of MARKS."""
        return NUM_BYTES + MARKS.index(name)

    def text_ids(self, text: str) -> List[int]:
        """Ids of a text. Raises ValueError for what no text is: halves of pairs of UTF-16."""
        try:
            return list(text.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            raise ValueError(f"the text has {text[error.start]!r}, which is no letter; correct it.") from None

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of ids of bytes; other ids are left out, and bytes that are no UTF-8 too."""
        return bytes(one for one in ids if one < NUM_BYTES).decode("utf-8", "ignore")

    def unit_ids(self, codes: Tensor) -> List[int]:
        """Ids of codes (T, K), the codes of a frame one after the other."""
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
    def _names(self) -> Tuple[str, ...]:
        """How marks and codes are written, from the id NUM_BYTES on."""
        several = len(self.codebook_sizes) > 1
        codes = (
            f"<{book}:{code}>" if several else f"<{code}>"
            for book, size in enumerate(self.codebook_sizes)
            for code in range(size)
        )
        return (*MARKS, *codes)

    @functools.cached_property
    def _ids(self) -> Dict[str, int]:
        return {name: number for number, name in enumerate(self._names, NUM_BYTES)}

    def written(self, ids: Sequence[int]) -> str:
        """Ids as a line of SpeechGPT's data."""
        parts: List[str] = []
        for is_text, run in itertools.groupby(ids, key=lambda one: one < NUM_BYTES):
            if is_text:
                text = bytes(run).decode("utf-8", "surrogateescape")
                parts.append(_ESCAPED.sub(lambda found: f"\\{found[0]}", text))
            else:
                parts += [self._names[one - NUM_BYTES] for one in run]
        return "".join(parts)

    def read(self, written: str) -> List[int]:
        """The ids of what `written` gave. Raises ValueError for a mark, or a code, that there is not."""
        ids: List[int] = []
        done = 0
        for found in _PARTS.finditer(written):
            ids += self.text_ids(written[done : found.start()])
            escaped, name, bare = found.groups()
            if bare or (name and name not in self._ids):
                shown = name or bare
                raise ValueError(
                    f"'{shown}' is neither a mark ({', '.join(MARKS)}) nor one of {sum(self.codebook_sizes)} codes; "
                    f"correct it, or write \\{shown[0]} where it is text."
                )
            ids += self.text_ids(escaped) if escaped else [self._ids[name]]
            done = found.end()
        return ids + self.text_ids(written[done:])
