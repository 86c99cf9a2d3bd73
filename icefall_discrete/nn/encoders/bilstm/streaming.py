"""The LSTM encoder of one direction, chunk by chunk: cells and outputs are remembered, and nothing else is."""

import dataclasses
from typing import List, Tuple

import torch
from torch import Tensor

from icefall_discrete.nn.encoders.bilstm.encoder import BilstmEncoder
from icefall_discrete.nn.encoders.contract import StreamingEncoder


@dataclasses.dataclass
class LstmState:
    """For each layer the last output (N, H) and the cells (N, H) of N streams."""

    outputs: Tuple[Tensor, ...]
    cells: Tuple[Tensor, ...]


class StreamingLstm(StreamingEncoder[LstmState]):
    """Runs an LSTM of one direction on one chunk of each of N streams.

    Args:
      encoder: in evaluation mode. chunk_size: frames of a chunk, any number. left_context_frames: has no effect, all
        that came before is in the state.
    """

    def __init__(self, encoder: BilstmEncoder, chunk_size: int, left_context_frames: int) -> None:
        if encoder.config.bidirectional:
            raise ValueError(
                "encoder bilstm reads from both ends, so that it cannot stream; train it with bidirectional false "
                "(--model.encoder.bidirectional false)."
            )
        if encoder.config.cell != "lstm":
            raise ValueError(f"encoder bilstm streams with cell lstm, not {encoder.config.cell}; train it with that.")
        self.encoder = encoder
        self.chunk_size = chunk_size

    def initial_state(self, num: int) -> LstmState:
        """Zeros."""
        weight, dim = next(self.encoder.parameters()), self.encoder.config.hidden_dim
        zeros = tuple(weight.new_zeros((num, dim)) for _ in self.encoder.layers)
        return LstmState(zeros, zeros)

    @torch.no_grad()
    def __call__(self, x: Tensor, lens: Tensor, state: LstmState) -> Tuple[Tensor, Tensor, LstmState]:
        """Encode the next chunk x (N, chunk_size, in_dim) with lens (N,); a stream ends with a chunk that is short."""
        outputs: List[Tensor] = []
        cells: List[Tensor] = []
        for layer, output, cell in zip(self.encoder.layers, state.outputs, state.cells):
            x, (output, cell) = layer(x, (output.unsqueeze(0), cell.unsqueeze(0)))
            outputs.append(output[0])
            cells.append(cell[0])
        return x, lens, LstmState(tuple(outputs), tuple(cells))
