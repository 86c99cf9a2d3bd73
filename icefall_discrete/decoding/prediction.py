"""The predictor's side of the joiner during a search."""

from torch import Tensor

from icefall_discrete.nn.heads.contract import TransducerModel


class Predictions:
    """Projected predictor output for contexts; `model` has `predictor` and `joiner`."""

    def __init__(self, model: TransducerModel) -> None:
        self._model = model
        self._tables = model.predictor.tables()

    def of(self, contexts: Tensor) -> Tensor:
        """(M, D) for contexts (M, context_size)."""
        return self._model.joiner.decoder_proj(self._model.predictor.from_tables(self._tables, contexts))
