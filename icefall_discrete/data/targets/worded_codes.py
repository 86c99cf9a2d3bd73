"""The codes of an utterance with its text: what a model of both learns."""

from pathlib import Path
from typing import Any, Optional

from lhotse.cut import Cut

from icefall_discrete.data.cuts import text_of
from icefall_discrete.data.facts import facts_of, require_fact
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.data.targets.voice_vectors import FILE as VOICES
from icefall_discrete.data.targets.voice_vectors import SPEAKER, VoiceVectors
from icefall_discrete.text.published_pieces import FILE, PublishedPieces
from icefall_discrete.text.text_ids import BYTES, TextIds


class WordedCodes(CodeTargets):
    """Nothing besides the frames and the facts of a batch, of utterances that have a text if that is needed.

    Args:
      needs_text: whether it is. text: what divides texts. voices: vectors of speakers; None: of nobody.
    """

    def __init__(self, needs_text: bool = True, text: TextIds = BYTES, voices: Optional[VoiceVectors] = None) -> None:
        self._needs_text = needs_text
        self.text, self.voices = text, voices

    def frames_needed(self, cut: Cut) -> int:
        """One. Raises ValueError, naming the cut, if it lacks the text, or a speaker with a vector."""
        if self._needs_text:
            text_of(cut)
        if self.voices is not None:
            require_fact(cut, SPEAKER)
            try:
                self.voices.of(str(facts_of(cut)[SPEAKER]))
            except ValueError as error:
                raise ValueError(f"cut {cut.id}: {error}") from None
        return 1

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether the other is codes too, divides texts in the same way, if any, and hears the same in voices."""
        if not isinstance(other, WordedCodes):
            return super().means_the_same(other)
        same_voices = self.voices is None or other.voices is None or self.voices.means_the_same(other.voices)
        return super().means_the_same(other) and self.text.means_the_same(other.text) and same_voices

    def save(self, folder: Path) -> None:
        """Write pieces of texts, where they are a published model's, and vectors of voices, if any, new ones too.

        Raises ValueError if others are there.
        """
        kept = self.load(folder)
        before = kept.text
        if self.voices is not None and kept.voices is not None and not self.voices.means_the_same(kept.voices):
            raise ValueError(
                f"{folder} was trained with other vectors of voices; give the same --voices to go on, or another "
                "--exp-dir."
            )
        if self.voices is not None:
            every = self.voices if kept.voices is None else self.voices.with_others(kept.voices)
            every.write(folder / VOICES)
        if isinstance(self.text, PublishedPieces) and not (folder / FILE).is_file():
            self.text.save(folder)
        elif not self.text.means_the_same(before):
            raise ValueError(
                f"{folder} was trained on texts divided in another way; give the same --text-pieces to go on, or "
                "another --exp-dir."
            )

    @classmethod
    def load(cls, folder: Path) -> "WordedCodes":
        """Of a folder: with the pieces that are there, or bytes, and the vectors of voices that are there."""
        return cls(
            text=PublishedPieces.read(folder) if (folder / FILE).is_file() else BYTES,
            voices=VoiceVectors.read(folder / VOICES) if (folder / VOICES).is_file() else None,
        )
