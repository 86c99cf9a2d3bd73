"""From one vector a symbol to one a frame, as FastSpeech has it: https://arxiv.org/abs/1905.09263, section 3.2.

Letters: N utterances, U symbols, T frames, D dimension.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# What is known of the place of a frame within its symbol: see `Places.facts`.
NUM_FACTS = 3


class Places(NamedTuple):
    """Where each frame lies: symbols (N, T), the place of its symbol; facts (N, T, NUM_FACTS); lens (N,), in frames.

    facts: how much of the symbol lies before the middle of the frame, its sine over a half turn (largest in the middle
    of the symbol), and log(d + 1) of the symbol's duration d. Zeros behind ends.
    """

    symbols: Tensor
    facts: Tensor
    lens: Tensor

    def spread(self, x: Tensor) -> Tensor:
        """Vectors of frames (N, T, D) of those of symbols x (N, U, D); behind ends that of the last symbol."""
        return x.gather(1, self.symbols.unsqueeze(2).expand(-1, -1, x.shape[2]))


def places_of(durations: Tensor) -> Places:
    """Where the frames of symbols of durations (N, U), in frames, 0 or more, lie; each utterance has one at least."""
    ends = durations.cumsum(dim=1)
    lens = ends[:, -1]
    frames = torch.arange(int(lens.max()), device=durations.device).expand(len(durations), -1).contiguous()
    symbols = torch.searchsorted(ends, frames, right=True).clamp(max=durations.shape[1] - 1)
    lasting = durations.gather(1, symbols)
    begins = ends.gather(1, symbols) - lasting
    share = (frames - begins + 0.5) / lasting.clamp(min=1)
    facts = torch.stack((share, (share * torch.pi).sin(), (lasting.float() + 1).log()), dim=2)
    behind = frames >= lens.unsqueeze(1)
    return Places(symbols, facts.masked_fill(behind.unsqueeze(2), 0.0), lens)
