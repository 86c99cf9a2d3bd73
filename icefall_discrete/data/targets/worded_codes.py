"""The codes of an utterance with its text: what a model of both learns."""

from lhotse.cut import Cut

from icefall_discrete.data.cuts import text_of
from icefall_discrete.data.targets.codes import CodeTargets


class WordedCodes(CodeTargets):
    """Nothing besides the frames and the facts of a batch, of utterances that have a text if that is needed.

    Args:
      needs_text: whether it is.
    """

    def __init__(self, needs_text: bool = True) -> None:
        self._needs_text = needs_text

    def frames_needed(self, cut: Cut) -> int:
        """One. Raises ValueError, naming the cut, if it lacks the text."""
        if self._needs_text:
            text_of(cut)
        return 1
