"""The prediction network: an embedding and a short convolution over the last labels."""

from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.scaling import Balancer


class StatelessPredictor(nn.Module):
    """Predictor without recurrence: embedding, grouped convolution over `context_size` labels, ReLU.

    RNN-transducer with stateless prediction network, https://ieeexplore.ieee.org/document/9054419, with the
    convolution of icefall's recipe.

    Args:
      vocab_size: V.
      decoder_dim: D, divisible by 4 where context_size > 1.
      blank_id: id of the blank, which also pads on the left.
      context_size: number of labels seen, 1 or more.
    """

    def __init__(self, vocab_size: int, decoder_dim: int, blank_id: int, context_size: int) -> None:
        super().__init__()
        if context_size < 1:
            raise ValueError(f"context_size is {context_size}, expected 1 or more.")
        self.blank_id = blank_id
        self.context_size = context_size
        self.embedding = nn.Embedding(vocab_size, decoder_dim)
        # A drifting size of the embeddings would spoil the average of checkpoints.
        self.balancer_embedding = _size_balancer()
        self.conv: Optional[nn.Conv1d] = None
        if context_size > 1:
            if decoder_dim % 4:
                raise ValueError(f"decoder_dim is {decoder_dim}, expected a multiple of 4.")
            self.conv = nn.Conv1d(decoder_dim, decoder_dim, context_size, groups=decoder_dim // 4, bias=False)
            self.balancer_out = _size_balancer()

    def forward(self, labels: Tensor, need_pad: bool = True) -> Tensor:
        """Map labels (N, U) to (N, U, D); without padding (N, U - context_size + 1, D).

        Args:
          labels: ids; a negative id is no label and gives a zero vector.
          need_pad: whether zero vectors are put before the first label (training) or the labels hold the whole
            context already (search).
        """
        x = self.embedding(labels.clamp(min=0)) * (labels >= 0).unsqueeze(2)
        x = self.balancer_embedding(x)
        if self.conv is None:
            return x
        if need_pad:
            x = F.pad(x, (0, 0, self.context_size - 1, 0))
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.balancer_out(F.relu(x))

    def tables(self) -> Tensor:
        """What each label adds at each place of the context, (context_size, V + 1, D); the last row is for no label."""
        vectors = self.embedding.weight
        if self.conv is None:
            added = vectors.unsqueeze(0)
        else:
            groups, (num, dim) = self.conv.groups, vectors.shape
            weight = self.conv.weight.view(groups, dim // groups, dim // groups, -1)
            parts = torch.einsum("vgi,goik->kvgo", vectors.view(num, groups, -1), weight)
            added = parts.reshape(-1, num, dim)
        return F.pad(added, (0, 0, 0, 1))

    def from_tables(self, tables: Tensor, contexts: Tensor) -> Tensor:
        """Output (M, D) for contexts (M, context_size), as `forward` without padding gives it in evaluation.

        For searches: convolution routines are slow on many short sequences, and `tables` are made once a search.
        """
        x = tables[0][contexts[:, 0]]
        for place in range(1, self.context_size):
            x = x + tables[place][contexts[:, place]]
        return x if self.conv is None else F.relu(x)

    def from_tables_here(self, tables: np.ndarray, contexts: np.ndarray) -> np.ndarray:
        """`from_tables` by numpy, for a search on the CPU, which asks for some contexts at every frame.

        The same numbers in a sixth of the time: PyTorch takes longer to begin these operations than to do them.
        """
        # Wrapping round makes the last row of no label.
        x = tables[0].take(contexts[:, 0], axis=0, mode="wrap")
        for place in range(1, self.context_size):
            x += tables[place].take(contexts[:, place], axis=0, mode="wrap")
        return x if self.conv is None else np.maximum(x, 0.0, out=x)


def _size_balancer() -> Balancer:
    return Balancer(positive=(0.0, 1.0), abs_value=(0.5, 1.0), prob=0.05)
