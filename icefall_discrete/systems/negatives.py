"""Which other hidden frames of its utterance a hidden frame is to be told from.

Letters: N utterances, T frames, M hidden frames of all utterances, K negatives of each.
"""

from typing import NamedTuple, Sequence

import torch
from torch import Tensor

from icefall_discrete.systems.hidden_spans import SpanConfig, spans_of


class Drawn(NamedTuple):
    """hidden: (N, T) bool. negatives: (M, K), numbers of hidden frames, counted over the batch."""

    hidden: Tensor
    negatives: Tensor

    def to(self, device: torch.device) -> "Drawn":
        """The same on a device."""
        return Drawn(self.hidden.to(device), self.negatives.to(device))


def others_of(count: int, num_negatives: int, generator: torch.Generator) -> Tensor:
    """For each of `count` hidden frames of an utterance, numbers (count, K) of others, never its own, drawn evenly.

    As published, https://arxiv.org/abs/2006.11477, section 3.2: with replacement.
    """
    drawn = torch.randint(max(1, count - 1), (count, num_negatives), generator=generator)
    return drawn + (drawn >= torch.arange(count).unsqueeze(1))


def draw(
    lens: Sequence[int], names: Sequence[str], config: SpanConfig, num_negatives: int, seeds: Sequence[int]
) -> Drawn:
    """Hide frames as `spans_of`, and draw negatives for each of them.

    Raises:
      ValueError: as `spans_of`.
    """
    hidden = spans_of(lens, names, config, seeds)
    counts = hidden.sum(dim=1)
    firsts = (counts.cumsum(dim=0) - counts).tolist()
    # Seeds of their own: numbers of one generator would depend on how the spans were drawn.
    generators = [torch.Generator().manual_seed(seed + 1) for seed in seeds]
    rows = zip(firsts, counts.tolist(), generators)
    return Drawn(hidden, torch.cat([first + others_of(count, num_negatives, one) for first, count, one in rows]))
