"""The codes of an utterance with its text: what a model of both learns."""

from pathlib import Path
from typing import Any

from lhotse.cut import Cut

from icefall_discrete.data.cuts import text_of
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.text.published_pieces import FILE, PublishedPieces
from icefall_discrete.text.text_ids import BYTES, TextIds


class WordedCodes(CodeTargets):
    """Nothing besides the frames and the facts of a batch, of utterances that have a text if that is needed.

    Args:
      needs_text: whether it is. text: what divides texts.
    """

    def __init__(self, needs_text: bool = True, text: TextIds = BYTES) -> None:
        self._needs_text = needs_text
        self.text = text

    def frames_needed(self, cut: Cut) -> int:
        """One. Raises ValueError, naming the cut, if it lacks the text."""
        if self._needs_text:
            text_of(cut)
        return 1

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether the other is codes too, and divides texts in the same way, if any."""
        return super().means_the_same(other) and (
            not isinstance(other, WordedCodes) or self.text.means_the_same(other.text)
        )

    def save(self, folder: Path) -> None:
        """Write the pieces of texts, where they are a published model's. Raises ValueError if others are there."""
        before = self.load(folder).text
        if isinstance(self.text, PublishedPieces) and not (folder / FILE).is_file():
            self.text.save(folder)
        elif not self.text.means_the_same(before):
            raise ValueError(
                f"{folder} was trained on texts divided in another way; give the same --text-pieces to go on, or "
                "another --exp-dir."
            )

    @classmethod
    def load(cls, folder: Path) -> "WordedCodes":
        """Of a folder: with the pieces that are there, or bytes."""
        return cls(text=PublishedPieces.read(folder) if (folder / FILE).is_file() else BYTES)
