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
    """Projected predictor output for contexts; `model` has `predictor` and `joiner`."""

    def __init__(self, model: TransducerModel) -> None:
        self._model = model
        self._tables = model.predictor.tables()

    def of(self, contexts: Tensor) -> Tensor:
        """(M, D) for contexts (M, context_size)."""
        return self._model.joiner.decoder_proj(self._model.predictor.from_tables(self._tables, contexts))


class KeptPredictions:
    """The same on the CPU in float32, computed once for each context.

    In a beam search the same few contexts come again at every frame, and the projection is as large as the joiner's
    output layer for a vocabulary of 500.

    rows: (R, D), what `places` has computed; it may be another array after each call. Rows beyond those handed out are
    memory that was never written and hold anything, NaN too: read none of them.
    """

    def __init__(self, model: TransducerModel) -> None:
        self._model = model
        self._tables = model.predictor.tables().numpy()
        self._place_of: Dict[int, int] = {}
        joiner_dim, _ = model.joiner.decoder_proj.weight.shape
        self.rows = np.empty((_FIRST_ROOM, joiner_dim), np.float32)

    def places(self, keys: Sequence[int], contexts: np.ndarray) -> np.ndarray:
        """Which `rows` (M,) have the predictions for contexts (M, context_size), which may have come before.

        Args:
          keys: (M,), equal ones stand for equal contexts.
        """
        if len(self._place_of) + len(keys) > _MOST_KEPT:
            self._place_of = {}
        place_of = self._place_of
        new = {key: number for number, key in enumerate(keys) if key not in place_of}
        if new:
            first, end = len(place_of), len(place_of) + len(new)
            if len(self.rows) < end:
                before, self.rows = self.rows, np.empty((2 * end, self.rows.shape[1]), np.float32)
                self.rows[:first] = before[:first]
            outputs = self._model.predictor.from_tables_here(self._tables, contexts.take(list(new.values()), axis=0))
            self._model.joiner.predictions_of(outputs, self.rows[first:end])
            place_of.update(zip(new, range(first, end)))
        return np.fromiter(map(place_of.__getitem__, keys), dtype=np.int64, count=len(keys))
