"""Sentences of LibreOffice's help, which is free text (MPL-2.0) in many languages: short, and in imperatives.

Pages are HTML; what is read of them are headings and paragraphs, cut at the ends of sentences.
"""

import re
from html.parser import HTMLParser
from typing import List

_READ = ("p", "h1", "h2", "h3", "h4", "h5", "h6")
_END = re.compile(r"(?<=[.!?:;])\s+")
_CODE = re.compile(r"[=/\\_{}\[\]|<>]")  # of formulas, paths and examples of programs, which are not said as they stand


class _Page(HTMLParser):
    """Gathers the text of headings and paragraphs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.passages: List[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # as HTMLParser names it
        """A passage begins, whether or not the one before was ended."""
        if tag in _READ:
            self._inside = tag
            self.passages.append("")
        elif self._inside:
            self.passages[-1] += " "

    def handle_endtag(self, tag: str) -> None:
        """A passage ends."""
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        """Text of a passage, or of nothing that is read."""
        if self._inside:
            self.passages[-1] += data


def sentences_in(page: str) -> List[str]:
    """The sentences of a page as they are written, in its order; headings are sentences too, what has code is none."""
    reader = _Page()
    reader.feed(page)
    reader.close()
    parts = (" ".join(part.split()) for passage in reader.passages for part in _END.split(passage))
    return [part for part in parts if part and not _CODE.search(part)]
