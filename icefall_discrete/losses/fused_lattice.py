"""The recursions of the transducer lattice as one Triton kernel each, for CUDA devices.

`lattice.py` walks wave by wave with a few operations of PyTorch for each; on a device every one of them is a kernel to
launch, some thousands for a batch, and small models then wait for launches and not for arithmetic. Here a program takes
an utterance and walks its waves itself. The maths is that of `lattice.py`. Letters: N utterances, W waves, S = U + 1
label positions.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _alpha_kernel(arcs, alpha, ends, waves, positions, BLOCK: tl.constexpr):
    into_label, into_blank = arcs, arcs + tl.num_programs(0).to(tl.int64) * waves * positions
    place = tl.arange(0, BLOCK)
    inside = place < positions
    row = tl.program_id(0).to(tl.int64) * waves * positions
    tl.store(alpha + row + place, tl.where(place == 0, 0.0, float("-inf")), mask=inside)
    for _ in range(tl.load(ends + tl.program_id(0))):
        tl.debug_barrier()  # the wave before is written by other threads
        before = row
        row += positions
        by_blank = tl.load(alpha + before + place, mask=inside, other=float("-inf"))
        by_blank += tl.load(into_blank + row + place, mask=inside, other=float("-inf"))
        by_label = tl.load(alpha + before + place - 1, mask=inside & (place > 0), other=float("-inf"))
        by_label += tl.load(into_label + row + place, mask=inside, other=float("-inf"))
        high = tl.maximum(by_blank, by_label)
        low = tl.minimum(by_blank, by_label)
        # Where no path leads, both are -inf, and their difference would be NaN.
        difference = tl.where(high == float("-inf"), 0.0, low - high)
        tl.store(alpha + row + place, high + tl.log(1.0 + tl.exp(difference)), mask=inside)


@triton.jit
def _occupation_kernel(alpha, arcs, uses, ends, waves, positions, BLOCK: tl.constexpr):
    size = tl.num_programs(0).to(tl.int64) * waves * positions
    into_label, into_blank, label_use, blank_use = arcs, arcs + size, uses, uses + size
    place = tl.arange(0, BLOCK)
    inside = place < positions
    utterance = tl.program_id(0)
    last = tl.load(ends + utterance)
    row = (utterance.to(tl.int64) * waves + last) * positions
    node = tl.where(place == tl.load(ends + tl.num_programs(0) + utterance), 1.0, 0.0)
    for _ in range(last):
        before = row - positions
        by_blank = tl.load(alpha + before + place, mask=inside, other=float("-inf"))
        by_blank += tl.load(into_blank + row + place, mask=inside, other=float("-inf"))
        by_label = tl.load(alpha + before + place - 1, mask=inside & (place > 0), other=float("-inf"))
        by_label += tl.load(into_label + row + place, mask=inside, other=float("-inf"))
        reachable = tl.load(alpha + row + place, mask=inside, other=float("-inf")) > float("-inf")
        # The share of the label arc; that of the blank arc is the rest, so that rounding does not build up on the way.
        share = tl.where(by_label == float("-inf"), 0.0, 1.0 / (1.0 + tl.exp(by_blank - by_label)))
        by_label_node = tl.where(reachable, node * share, 0.0)
        by_blank_node = tl.where(reachable, node * (1.0 - share), 0.0)
        tl.store(label_use + row + place, by_label_node, mask=inside)
        tl.store(blank_use + row + place, by_blank_node, mask=inside)
        tl.debug_barrier()  # the neighbour's label arc is written by another thread
        above = tl.load(label_use + row + place + 1, mask=place + 1 < positions, other=0.0)
        node = by_blank_node + above
        row = before


def _launch(positions: int) -> dict:
    block = max(16, triton.next_power_of_2(positions))
    return {"BLOCK": block, "num_warps": min(8, max(1, block // 64)), "num_stages": 1}


def forward_scores(arcs: Tensor, ends: Tensor) -> Tensor:
    """Log-probability of reaching each node, (N, W, S); beyond the last wave of an utterance it is -inf.

    arcs: (2, N, W, S) float32, contiguous: log-probabilities of the label arc and the blank arc that lead to each node.
    ends: (2, N) int64, contiguous: wave and label position where the paths of each utterance end.
    """
    _, num, waves, positions = arcs.shape
    alpha = torch.full_like(arcs[0], float("-inf"))
    _alpha_kernel[(num,)](arcs, alpha, ends, waves, positions, **_launch(positions))
    return alpha


def occupations(alpha: Tensor, arcs: Tensor, ends: Tensor) -> Tensor:
    """Posteriors of the label arc and of the blank arc that lead to each node, (2, N, W, S)."""
    num, waves, positions = alpha.shape
    uses = torch.zeros_like(arcs)
    _occupation_kernel[(num,)](alpha, arcs, uses, ends, waves, positions, **_launch(positions))
    return uses
