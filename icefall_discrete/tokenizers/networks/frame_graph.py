"""Tokenizers as networks from samples to frames or codes, for exports: nothing in them looks at numbers.

Letters: S samples, T frames, D dimensions, K codebooks.
"""

from typing import Optional

from torch import Tensor, nn


class NotExported(ValueError):
    """A tokenizer that is no such network; the message says which are."""


class FrameGraph(nn.Module):
    """Samples (S,) of one utterance to frames (T, D), or to codes (T, K).

    Args:
      steps: one behind the other. max_samples: the longest audio that it takes; None: any. min_samples: the shortest.
    """

    def __init__(self, *steps: nn.Module, max_samples: Optional[int] = None, min_samples: int = 0) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)
        self.max_samples, self.min_samples = max_samples, min_samples

    def forward(self, samples: Tensor) -> Tensor:
        """Map (S,) to (T, D) or (T, K)."""
        return self.steps(samples)

    def then(self, step: nn.Module) -> "FrameGraph":
        """With one more step behind."""
        return FrameGraph(self.steps, step, max_samples=self.max_samples, min_samples=self.min_samples)
