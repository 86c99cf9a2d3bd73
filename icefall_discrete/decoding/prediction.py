"""The predictor's side of the joiner during a search."""

from typing import Dict, Sequence

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.nn.heads.contract import TransducerModel

# Devices on which asking for a value does not mean to wait for all that was begun before.
ANSWERS_AT_ONCE = ("cpu",)
# Contexts whose predictions are kept at most; a search that goes on for days meets ever new ones.
_MOST_KEPT = 2**14
_FIRST_ROOM = 2**11


def answers_at_once(device: torch.device) -> bool:
    """Whether a search may ask for values at every frame; elsewhere it costs less to compute what is not needed."""
    return device.type in ANSWERS_AT_ONCE


class Predictions:
    """Projected predictor output for contexts; `model` has `predictor` and `joiner`.

    kept: (R, D), what `known` has computed; it may be another tensor after each call.
    """

    def __init__(self, model: TransducerModel) -> None:
        self._model = model
        self._tables = model.predictor.tables()
        self._row_of: Dict[int, int] = {}
        joiner_dim, _ = model.joiner.decoder_proj.weight.shape
        self.kept = self._tables.new_zeros(0, joiner_dim)

    def of(self, contexts: Tensor) -> Tensor:
        """(M, D) for contexts (M, context_size)."""
        return self._model.joiner.decoder_proj(self._model.predictor.from_tables(self._tables, contexts))

    def known(self, keys: Sequence[int], contexts: np.ndarray) -> np.ndarray:
        """The rows (M,) of `kept` with the predictions for contexts (M, context_size), which may have come before.

        In a beam search the same few contexts come again at every frame, and the projection is as large as the
        joiner's output layer for a vocabulary of 500. For devices that answer at once. Rows of `kept` beyond
        those handed out are memory that was never written (`new_empty`) and hold anything, NaN too: read none of them.

        Args:
          keys: (M,), equal ones stand for equal contexts.
        """
        if len(self._row_of) + len(keys) > _MOST_KEPT:
            self._row_of = {}
        row_of = self._row_of
        new = {key: place for place, key in enumerate(keys) if key not in row_of}
        if new:
            first, end = len(row_of), len(row_of) + len(new)
            if self.kept.size(0) < end:
                room = self.kept.new_empty(max(end, _FIRST_ROOM), self.kept.size(1))
                self.kept = torch.cat([self.kept[:first], room])
            self.kept[first:end] = self.of(torch.from_numpy(contexts.take(list(new.values()), axis=0)))
            row_of.update(zip(new, range(first, end)))
        return np.fromiter(map(row_of.__getitem__, keys), dtype=np.int64, count=len(keys))
