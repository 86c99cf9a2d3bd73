"""The transducer lattice: total log-probability of all alignments and the occupation of every arc.

A lattice has one node for each pair (labels emitted, frames consumed). A label arc leads to the next label, a blank
arc to the next frame. In the `regular` lattice a label arc stays on its frame, in the `modified` and `constrained`
ones it also moves to the next frame. https://arxiv.org/abs/1211.3711 (transducer), https://arxiv.org/abs/2206.13236
(pruned transducer). Letters: N utterances, U labels, T frames.
"""

import functools
import importlib.metadata
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from icefall_discrete.base.backend import k2_module

NEG_INF = float("-inf")
Scored = Tuple[Tensor, Tensor, Tensor]  # score, and what is known of label arcs and of blank arcs
# Triton comes with PyTorch's CUDA builds; without it the device is asked wave by wave, as a CPU is.
OLDEST_TRITON, OLDEST_CAPABILITY = 3, (7, 0)


def lattice_score(
    label_arcs: Tensor, blank_arcs: Tensor, label_lens: Tensor, frame_lens: Tensor, backend: str
) -> Scored:
    """Log-probability of all paths from the first to the last node, and how much each arc is used.

    Args:
      label_arcs: (N, U, T + 1) log-probabilities of label arcs in a regular lattice, where column `frame_lens[n]` and
        those after it must be -inf; (N, U, T) in a modified or constrained lattice.
      blank_arcs: (N, U + 1, T) log-probabilities of blank arcs.
      label_lens: (N,) number of labels of each utterance.
      frame_lens: (N,) number of frames of each utterance.
      backend: "torch" or "k2" (already resolved).

    Returns:
      score (N,) in nats, differentiable; label occupation (shape of `label_arcs`) and blank occupation (shape of
      `blank_arcs`): the derivative of `score` by each arc, that is the posterior probability that a path takes it.
    """
    if backend == "k2":
        return _k2_score(label_arcs, blank_arcs, label_lens, frame_lens)
    fused = label_arcs.is_cuda and label_arcs.dtype == torch.float32 and _has_kernels(label_arcs.device)
    return _LatticeScore.apply(label_arcs, blank_arcs, label_lens, frame_lens, fused)


@functools.cache
def _has_kernels(device: torch.device) -> bool:
    """Whether the kernels of fused_lattice.py can be built for this device."""
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return False
    return int(version.split(".")[0]) >= OLDEST_TRITON and torch.cuda.get_device_capability(device) >= OLDEST_CAPABILITY


def _k2_score(label_arcs: Tensor, blank_arcs: Tensor, label_lens: Tensor, frame_lens: Tensor) -> Scored:
    zeros = torch.zeros_like(label_lens)
    boundary = torch.stack([zeros, zeros, label_lens, frame_lens], dim=1).to(torch.int64)
    score, (label_occupation, blank_occupation) = k2_module().mutual_information_recursion(
        px=label_arcs, py=blank_arcs, boundary=boundary, return_grad=True
    )
    return score, label_occupation, blank_occupation


class _LatticeScore(torch.autograd.Function):
    """`lattice_score` in PyTorch, over waves of nodes that do not depend on each other.

    In a regular lattice a wave is an anti-diagonal (labels + frames constant), in the others it is a frame. `fused`: by
    the kernels of fused_lattice.py, not wave by wave.
    """

    @staticmethod
    def forward(
        ctx: Any, label_arcs: Tensor, blank_arcs: Tensor, label_lens: Tensor, frame_lens: Tensor, fused: bool = False
    ) -> Scored:
        regular = label_arcs.size(2) == blank_arcs.size(2) + 1
        arcs = _arcs_by_wave(label_arcs, blank_arcs, regular)
        last_wave = frame_lens + label_lens if regular else frame_lens
        score, label_use, blank_use = (_by_kernels if fused else _by_waves)(*arcs, last_wave, label_lens)
        label_occupation, blank_occupation = _arcs_by_node(label_use, blank_use, label_arcs.size(2), regular)
        ctx.save_for_backward(label_occupation, blank_occupation)
        ctx.mark_non_differentiable(label_occupation, blank_occupation)
        return score, label_occupation, blank_occupation

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, score_grad: Tensor, _label_grad: Tensor, _blank_grad: Tensor
    ) -> Tuple[Optional[Tensor], ...]:
        label_occupation, blank_occupation = ctx.saved_tensors
        score_grad = score_grad[:, None, None]
        return label_occupation * score_grad, blank_occupation * score_grad, None, None, None


def _by_waves(into_label: Tensor, into_blank: Tensor, last_wave: Tensor, label_lens: Tensor) -> Scored:
    """Score (N,) and posteriors (N, U + 1, waves) of the arcs of `_arcs_by_wave`, one step for each wave.

    The recursion is laid out (wave, label position, utterance), so that a step touches contiguous memory.
    """
    into_label, into_blank = (arcs.permute(2, 1, 0).contiguous() for arcs in (into_label, into_blank))
    alpha = _forward(into_label, into_blank)
    utterances = torch.arange(label_lens.numel(), device=label_lens.device)
    score = alpha[last_wave, label_lens + 1, utterances]
    end = torch.zeros_like(into_label)
    end[last_wave, label_lens, utterances] = 1.0
    label_use, blank_use = _occupation(alpha, into_label, into_blank, end)
    return score, label_use.permute(2, 1, 0), blank_use.permute(2, 1, 0)


def _by_kernels(into_label: Tensor, into_blank: Tensor, last_wave: Tensor, label_lens: Tensor) -> Scored:
    """As `_by_waves`, one kernel for each direction, laid out (utterance, wave, label position)."""
    from icefall_discrete.losses.fused_lattice import forward_scores, occupations

    arcs = torch.stack([into_label, into_blank]).transpose(2, 3).contiguous()
    ends = torch.stack([last_wave, label_lens])
    alpha = forward_scores(arcs, ends)
    score = alpha[torch.arange(label_lens.numel(), device=label_lens.device), last_wave, label_lens]
    label_use, blank_use = occupations(alpha, arcs, ends).transpose(2, 3)
    return score, label_use, blank_use


def _skew(nodes: Tensor) -> Tensor:
    """Shift row s of (N, S, W) by s columns: (N, S, W + S - 1), so that a column is an anti-diagonal."""
    num, rows, width = nodes.shape
    length = width + rows - 1
    padded = F.pad(nodes, (0, rows), value=NEG_INF).reshape(num, rows * (length + 1))
    return padded[:, : rows * length].reshape(num, rows, length)


def _unskew(waves: Tensor, width: int) -> Tensor:
    """Undo `_skew`: (N, S, W + S - 1) to (N, S, W)."""
    num, rows, length = waves.shape
    padded = F.pad(waves.reshape(num, rows * length), (0, rows))
    return padded.reshape(num, rows, length + 1)[:, :, :width]


def _arcs_by_wave(label_arcs: Tensor, blank_arcs: Tensor, regular: bool) -> Tuple[Tensor, Tensor]:
    """Arcs by the node they lead to, each (N, U + 1, waves); an arc that does not exist is -inf."""
    into_blank = F.pad(blank_arcs, (1, 0), value=NEG_INF)
    if regular:
        into_label = _skew(F.pad(label_arcs, (0, 0, 1, 0), value=NEG_INF))
        into_blank = _skew(into_blank)
    else:
        into_label = F.pad(label_arcs, (1, 0, 1, 0), value=NEG_INF)
    return into_label, into_blank


def _arcs_by_node(label_use: Tensor, blank_use: Tensor, width: int, regular: bool) -> Tuple[Tensor, Tensor]:
    """Undo `_arcs_by_wave` for what is known of each arc; width: the frames of label arcs."""
    if regular:
        label_use, blank_use = _unskew(label_use, width)[:, 1:], _unskew(blank_use, width)[:, :, 1:]
    else:
        label_use, blank_use = label_use[:, 1:, 1:], blank_use[:, :, 1:]
    return label_use.contiguous(), blank_use.contiguous()


def _forward(into_label: Tensor, into_blank: Tensor) -> Tensor:
    """Log-probability of reaching each node, (waves, 1 + U + 1, N); row 0 is a guard of -inf below the first label."""
    waves, rows, num = into_label.shape
    alpha = into_label.new_full((waves, rows + 1, num), NEG_INF)
    alpha[0, 1] = 0.0
    here, label_from = alpha[:, 1:].unbind(0), alpha[:, :-1].unbind(0)
    label_steps, blank_steps = into_label.unbind(0), into_blank.unbind(0)
    for wave in range(1, waves):
        by_label = label_from[wave - 1] + label_steps[wave]
        by_blank = here[wave - 1] + blank_steps[wave]
        torch.logaddexp(by_label, by_blank, out=here[wave])
    return alpha


def _occupation(alpha: Tensor, into_label: Tensor, into_blank: Tensor, end: Tensor) -> Tuple[Tensor, Tensor]:
    """Posterior of each arc, by the node it leads to; `end` is 1 at last nodes and is overwritten with node posteriors.

    A path that stands in a node came by its label arc or by its blank arc, with probabilities that sum to one. Walking
    back from the last node with those probabilities stays within [0, 1], so that it needs no logarithm.
    """
    # A sigmoid of the difference keeps the sum of the two at one, so that rounding does not build up on the way.
    by_label = (alpha[:-1, :-1] + into_label[1:]).sub_(alpha[:-1, 1:] + into_blank[1:]).sigmoid_()
    by_blank = 1.0 - by_label
    unreachable = alpha[1:, 1:] == NEG_INF
    by_label.masked_fill_(unreachable, 0.0)
    by_blank.masked_fill_(unreachable, 0.0)
    nodes = end.unbind(0)
    nodes_below = end[:, :-1].unbind(0)
    label_steps, blank_steps = by_label.unbind(0), by_blank.unbind(0)
    for wave in range(len(nodes) - 1, 0, -1):
        label_use, blank_use = label_steps[wave - 1].mul_(nodes[wave]), blank_steps[wave - 1].mul_(nodes[wave])
        nodes[wave - 1].add_(blank_use)
        nodes_below[wave - 1].add_(label_use[1:])
    return F.pad(by_label, (0, 0, 0, 0, 1, 0)), F.pad(by_blank, (0, 0, 0, 0, 1, 0))
