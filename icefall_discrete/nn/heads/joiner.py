"""The joiner of the transducer."""

import numpy as np
import torch
from torch import Tensor, nn

from icefall_discrete.nn.scaling import scaled_linear


class Joiner(nn.Module):
    """logits = output_linear(tanh(encoder_proj(am) + decoder_proj(lm)))."""

    def __init__(self, encoder_dim: int, decoder_dim: int, joiner_dim: int, vocab_size: int) -> None:
        super().__init__()
        self.encoder_proj = scaled_linear(encoder_dim, joiner_dim, 0.25)
        self.decoder_proj = scaled_linear(decoder_dim, joiner_dim, 0.25)
        self.output_linear = nn.Linear(joiner_dim, vocab_size)

    def forward(self, am: Tensor, lm: Tensor, project_input: bool = True) -> Tensor:
        """Return logits (..., vocab_size), not normalised.

        Args:
          am: encoder side, (..., encoder_dim), or (..., joiner_dim) if it is projected already.
          lm: predictor side, (..., decoder_dim) or (..., joiner_dim); broadcast against `am`.
          project_input: whether to apply encoder_proj and decoder_proj.
        """
        if project_input:
            am, lm = self.encoder_proj(am), self.decoder_proj(lm)
        return self.output_linear(torch.tanh(am + lm))

    def predictions_of(self, outputs: np.ndarray, out: np.ndarray) -> None:
        """Write decoder_proj of predictor outputs (M, decoder_dim) on the CPU into out (M, joiner_dim); no gradient."""
        _write(self.decoder_proj, outputs, out)

    def logits_of_sums(self, sums: np.ndarray, out: np.ndarray) -> None:
        """Write `forward` of sums am + lm (M, joiner_dim) of projected sides on the CPU into out (M, vocab_size).

        `sums` are overwritten, and there is no gradient; a search calls it for some rows a frame. numpy's tangent takes
        a fourth of the time of PyTorch's.
        """
        _write(self.output_linear, np.tanh(sums, out=sums), out)


def _write(linear: nn.Linear, rows: np.ndarray, out: np.ndarray) -> None:
    torch.addmm(linear.bias, torch.from_numpy(rows), linear.weight.t(), out=torch.from_numpy(out))
