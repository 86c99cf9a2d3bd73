"""A function of a whole signal, computed while the signal comes: filter banks, codes, another rate.

Letters: S samples, T outputs.
"""

import dataclasses
from typing import Callable, Optional, Sequence

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Reach:
    """What an output hears, in samples: output t those from t * hop - behind to (t + 1) * hop + ahead.

    Away from the ends of the signal, it depends on nothing else.
    """

    hop: int
    behind: int
    ahead: int

    def look_ahead_sec(self, sample_rate_hz: int) -> float:
        """How long an output waits for audio after its own hop, in seconds."""
        return self.ahead / sample_rate_hz


def widest(several: Sequence[Optional[Reach]]) -> Optional[Reach]:
    """What outputs hear that are made of several with the same hop; None if one has no reach, or hops differ."""
    known = [reach for reach in several if reach is not None]
    if len(known) < len(several) or len({reach.hop for reach in known}) != 1:
        return None
    return Reach(known[0].hop, max(reach.behind for reach in known), max(reach.ahead for reach in known))


class AsItComes:
    """The outputs of a local function of a signal, each as soon as what it hears is there.

    The function is applied to the last samples, from a whole hop on; outputs that would hear what is missing there are
    computed and not taken. All outputs together are those of the whole signal, but for float noise.

    Args:
      compute: from samples (S,) to outputs (T, ...), T at least floor(S / hop) x `per_hop`; mirrors, repeats or pads
        the ends as it likes.
      reach: what an output hears. per_hop: outputs of a hop, for functions that give more than one.
      min_samples: the fewest that `compute` takes.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], reach: Reach, min_samples: int, per_hop: int = 1) -> None:
        self._compute, self._reach, self._per_hop, self._min_samples = compute, reach, per_hop, min_samples
        self._kept_hops = -(-(reach.behind + min_samples) // reach.hop) + 1
        self._samples = torch.zeros(0)
        self._first_hop = 0  # where the kept samples begin
        self._num_outputs = 0
        self.num_samples = 0

    def accept(self, samples: Tensor) -> Tensor:
        """Take the next samples (S,) and give the outputs (T, ...) that are certain now; none is an empty tensor."""
        self._samples = torch.cat([self._samples, samples])
        self.num_samples += len(samples)
        hop = self._reach.hop
        certain = max(0, self.num_samples - self._reach.ahead) * self._per_hop // hop
        if certain <= self._num_outputs or len(self._samples) < self._min_samples:
            return torch.zeros(0)
        outputs = self._outputs()[: certain - self._num_outputs]
        self._num_outputs += len(outputs)
        first = max(self._first_hop, self._num_outputs // self._per_hop - self._kept_hops)
        self._samples = self._samples[(first - self._first_hop) * hop :].clone()
        self._first_hop = first
        return outputs

    def finish(self) -> Tensor:
        """The outputs that waited for audio which does not come any more."""
        if len(self._samples) < self._min_samples:
            return torch.zeros(0)
        outputs = self._outputs()
        self._num_outputs += len(outputs)
        return outputs

    def _outputs(self) -> Tensor:
        """Those of the kept samples that were not given yet."""
        return self._compute(self._samples)[self._num_outputs - self._first_hop * self._per_hop :]
