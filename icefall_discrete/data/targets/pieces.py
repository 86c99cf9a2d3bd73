"""Text as labels: the pieces of a text encoder, with or without a token of the language."""

import itertools
from pathlib import Path
from typing import Any, List, Tuple

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.atomic_files import write_bytes
from icefall_discrete.base.provenance import Provenance, noting_files
from icefall_discrete.data.cuts import language_of, text_of
from icefall_discrete.data.facts import Facts, text_fact
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.text.coverage import Coverage
from icefall_discrete.text.pieces import RECORD, TextEncoder

FILE_NAME = "bpe.model"


def pad_labels(rows: List[List[int]], pad: int) -> Tuple[Tensor, Tensor]:
    """Labels (N, U) int64 padded with `pad`, and their counts (N,)."""
    lens = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    labels = torch.full((len(rows), int(lens.max())), pad, dtype=torch.int64)
    for target, row in zip(labels, rows):
        target[: len(row)] = torch.tensor(row, dtype=torch.int64)
    return labels, lens


class PieceTargets(Targets[List[int], Tuple[Tensor, Tensor]]):
    """Labels (U,) of the text of each utterance; (N, U) padded with the blank, and their counts (N,), of a batch.

    Args:
      text_encoder: text to labels. with_ctc: whether a CTC loss is among those that compare with them.
    """

    fact = "text"

    def __init__(self, text_encoder: TextEncoder, with_ctc: bool = False) -> None:
        self.text_encoder = text_encoder
        self._with_ctc = with_ctc

    @property
    def size(self) -> int:
        """Number of pieces V, the blank included."""
        return self.text_encoder.vocab_size

    def of_facts(self, facts: Facts) -> List[int]:
        """Labels (U,)."""
        text = text_fact(facts, "text")
        if text is None:
            raise ValueError("its text is empty; drop it in the manifest stage, or give it a transcript.")
        return self.text_encoder.labels_of(text, text_fact(facts, "language"))

    def frames_needed(self, cut: Cut) -> int:
        """One for each label; for CTC, also one for the blank between equal neighbours, without which the loss is
        infinite (https://www.cs.toronto.edu/~graves/icml_2006.pdf, section 4.1).
        """
        labels = self.of(cut)
        repeats = sum(left == right for left, right in itertools.pairwise(labels)) if self._with_ctc else 0
        return len(labels) + repeats

    def cover(self, cut: Cut, coverage: Coverage) -> None:
        """Count the characters of the text, and those without a piece."""
        text = text_of(cut)
        coverage.add(f"cut {cut.id}", text, self.text_encoder.outside(text, language_of(cut)))

    def collated(self, targets: List[List[int]]) -> Tuple[Tensor, Tensor]:
        """Labels (N, U) and their counts (N,)."""
        return pad_labels(targets, self.text_encoder.blank_id)

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether they are the same pieces."""
        return isinstance(other, PieceTargets) and (
            other.text_encoder.path.read_bytes() == self.text_encoder.path.read_bytes()
        )

    def save(self, folder: Path) -> None:
        """Write bpe.model, or check that the same is there."""
        ours, model = Path(folder) / FILE_NAME, self.text_encoder.path
        if not ours.is_file():
            write_bytes(ours, model.read_bytes())
            before = Provenance.read_if_there(model.with_name(RECORD)) or Provenance()
            noting_files(before, folder, [FILE_NAME]).write(ours.with_name(RECORD))
        elif ours.read_bytes() != model.read_bytes():
            raise ValueError(
                f"{model} differs from {ours}, with which training began; go on with the same pieces, or "
                "use another --exp-dir."
            )

    @classmethod
    def load(cls, folder: Path) -> "PieceTargets":
        """The pieces of an experiment folder."""
        return cls(TextEncoder(Path(folder) / FILE_NAME))
