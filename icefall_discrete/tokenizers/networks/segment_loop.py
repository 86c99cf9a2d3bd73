"""Audio that a network codes in segments, each on its own: the loop over them, which an export takes along."""

import warnings
from typing import List

import torch
from torch import Tensor, nn


class SegmentLoop(nn.Module):
    """Samples (S,) to codes (T, K): those of every segment, one behind the other.

    Args:
      network: samples of a segment to its codes, of any number of samples from 1. segment: samples of one, but for the
        last ones, which end with the audio. stride: samples from the start of one to that of the next.
    """

    def __init__(self, network: nn.Module, segment: int, stride: int) -> None:
        super().__init__()
        self.network, self.segment, self.stride = network, segment, stride

    def forward(self, samples: Tensor) -> Tensor:
        """See the class."""
        codes: List[Tensor] = []
        for index in range((samples.shape[0] + self.stride - 1) // self.stride):
            start = index * self.stride
            codes.append(self.network(samples[start : start + self.segment]))
        return torch.cat(codes)


@torch.no_grad()
def scripted_loop(loop: SegmentLoop) -> nn.Module:
    """The same, whose number of segments a trace leaves open.

    A trace would repeat the segments that it saw. So the network is traced, and the loop around it kept as a script.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about shapes in a trace, and that scripts are not what torch builds on
        # No whole segment, and no whole frames.
        inner = torch.jit.trace(loop.network, 0.1 * torch.randn(loop.segment // 5 + 7), check_trace=False)
        return torch.jit.script(SegmentLoop(inner, loop.segment, loop.stride))
