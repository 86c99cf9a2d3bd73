"""Transducer losses: smoothed (additive joiner) and pruned. One door for the k2 and the PyTorch backend.

Pruned RNN-T: https://arxiv.org/abs/2206.13236. Transducer: https://arxiv.org/abs/1211.3711. Everything but the
recursion over the lattice is the same code for both backends, so that they differ by rounding only.
Letters: N utterances, U labels, T frames, R kept positions a frame, V output units.
"""

from dataclasses import dataclass
from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from icefall_discrete.losses.lattice import NEG_INF, Scored, lattice_score

RNNT_TYPES = ("regular", "modified", "constrained")


@dataclass(frozen=True)
class Targets:
    """What is to be emitted: labels (N, U) int64 padded with any valid id, label_lens (N,), frame_lens (N,)."""

    labels: Tensor
    label_lens: Tensor
    frame_lens: Tensor
    blank_id: int = 0


@dataclass(frozen=True)
class LatticeOptions:
    """Shape of the lattice and who computes it.

    rnnt_type: "regular" (a label stays on its frame), "modified" (a label also takes a frame) or "constrained" (as
      modified, and the blank of the next position is paid on the frame of the label).
    delay_penalty: added to label arcs per frame before the middle of the utterance and taken off after it; 0 disables.
    backend: "torch" or "k2", already resolved by `icefall_discrete.base.backend.resolve`.
    """

    rnnt_type: str = "regular"
    delay_penalty: float = 0.0
    backend: str = "torch"

    def __post_init__(self) -> None:
        if self.rnnt_type not in RNNT_TYPES:
            raise ValueError(f"unknown rnnt_type '{self.rnnt_type}'; known: {', '.join(RNNT_TYPES)}.")
        if self.backend not in ("torch", "k2"):
            raise ValueError(f"backend is '{self.backend}', expected 'torch' or 'k2'; call backend.resolve first.")


def smoothed_rnnt_loss(
    lm: Tensor, am: Tensor, targets: Targets, lm_only_scale: float, am_only_scale: float, options: LatticeOptions
) -> Tuple[Tensor, Tensor, Tensor]:
    """Loss of a transducer whose joiner is an addition, interpolated with predictor-only and encoder-only log-probs.

    Args:
      lm: (N, U + 1, V) float, unnormalised log-probs of the predictor.
      am: (N, T, V) float, unnormalised log-probs of the encoder.
      targets: labels and lengths.
      lm_only_scale: weight of the predictor alone.
      am_only_scale: weight of the encoder with the batch's mean predictor distribution as a unigram.
      options: lattice type and backend.

    Returns:
      loss (N,) in nats; label and blank occupation for `prune_ranges`, without gradient.
    """
    label_arcs, blank_arcs = _smoothed_arcs(lm, am, targets, lm_only_scale, am_only_scale)
    return _loss(label_arcs, blank_arcs, targets, options)


def pruned_rnnt_loss(logits: Tensor, ranges: Tensor, targets: Targets, options: LatticeOptions) -> Tensor:
    """Transducer loss over the kept positions only.

    Args:
      logits: (N, T, R, V) float, joiner outputs at the positions in `ranges`, unnormalised.
      ranges: (N, T, R) from `prune_ranges`.
      targets: labels and lengths.
      options: lattice type and backend.

    Returns:
      loss (N,) in nats; infinite where the ranges leave no path.
    """
    labels_and_end = F.pad(targets.labels, (0, 1), value=targets.blank_id)
    next_labels = labels_and_end.unsqueeze(1).expand(-1, logits.size(1), -1).gather(2, ranges)
    label_logp, blank_logp = _ArcLogProbs.apply(logits, next_labels, targets.blank_id)
    outside = logits.new_full((*logits.shape[:2], labels_and_end.size(1)), NEG_INF)
    label_arcs = outside.scatter(2, ranges, label_logp)[:, :, :-1].transpose(1, 2)
    blank_arcs = outside.scatter(2, ranges, blank_logp).transpose(1, 2)
    return _loss(label_arcs, blank_arcs, targets, options)[0]


def _loss(label_arcs: Tensor, blank_arcs: Tensor, targets: Targets, options: LatticeOptions) -> Scored:
    """Finish the arcs (N, U, T) and (N, U + 1, T) for the lattice type and sum over its paths."""
    num_frames = blank_arcs.size(2)
    frames = torch.arange(num_frames, device=label_arcs.device)
    if options.rnnt_type == "constrained":
        label_arcs = label_arcs + blank_arcs[:, 1:]
    if options.delay_penalty != 0.0:
        middle = (targets.frame_lens.to(label_arcs.dtype) - 1.0) / 2.0
        label_arcs = label_arcs + options.delay_penalty * (middle[:, None, None] - frames)
    if options.rnnt_type == "regular":
        beyond = frames >= targets.frame_lens[:, None]
        label_arcs = F.pad(label_arcs.masked_fill(beyond.unsqueeze(1), NEG_INF), (0, 1), value=NEG_INF)
    score, label_occupation, blank_occupation = lattice_score(
        label_arcs, blank_arcs, targets.label_lens, targets.frame_lens, options.backend
    )
    return -score, label_occupation, blank_occupation


def _smoothed_arcs(
    lm: Tensor, am: Tensor, targets: Targets, lm_only_scale: float, am_only_scale: float
) -> Tuple[Tensor, Tensor]:
    """Label arcs (N, U, T) and blank arcs (N, U + 1, T) of the smoothed loss.

    With a = am, l = lm, u = log of the mean predictor distribution and Z(x) = log sum exp(x), an arc that emits v has
      joint * (a_v + l_v - Z(a + l)) + lm_only * (l_v - Z(l)) + am_only * (a_v + u_v - Z(a + u)).
    Terms are collected by what they depend on, so that nothing of shape (N, U, T, V) is made.
    """
    joint_scale = 1.0 - lm_only_scale - am_only_scale
    tiny = torch.finfo(lm.dtype).tiny
    am_max, lm_max = am.detach().amax(dim=2, keepdim=True), lm.detach().amax(dim=2, keepdim=True)
    am_probs, lm_probs = (am - am_max).exp(), (lm - lm_max).exp()
    norm = torch.matmul(lm_probs, am_probs.transpose(1, 2)).add(tiny).log() + lm_max + am_max.transpose(1, 2)

    by_position = (joint_scale + lm_only_scale) * lm
    by_frame = (joint_scale + am_only_scale) * am
    labels = targets.labels
    label_position = by_position[:, :-1].gather(2, labels.unsqueeze(2))
    blank_position = by_position[:, :, targets.blank_id].unsqueeze(2)
    label_frame = by_frame.gather(2, labels.unsqueeze(1).expand(-1, am.size(1), -1)).transpose(1, 2)
    blank_frame = by_frame[:, :, targets.blank_id].unsqueeze(1)
    if lm_only_scale != 0.0:
        lm_norm = lm_only_scale * (lm_probs.sum(dim=2, keepdim=True).log() + lm_max)
        label_position, blank_position = label_position - lm_norm[:, :-1], blank_position - lm_norm
    if am_only_scale != 0.0:
        unigram = (lm_probs / lm_probs.sum(dim=2, keepdim=True)).mean(dim=(0, 1)) + tiny
        am_norm = (torch.matmul(am_probs, unigram).log() + am_max.squeeze(2)).unsqueeze(1)
        log_unigram = unigram.log()
        label_frame = label_frame + am_only_scale * (log_unigram[labels].unsqueeze(2) - am_norm)
        blank_frame = blank_frame + am_only_scale * (log_unigram[targets.blank_id] - am_norm)
    norm = joint_scale * norm
    return label_frame + label_position - norm[:, :-1], blank_frame + blank_position - norm


class _ArcLogProbs(torch.autograd.Function):
    """Log-softmax of logits (N, T, R, V) read at the next label and at blank, without keeping the softmax."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, next_labels: Tensor, blank_id: int) -> Tuple[Tensor, Tensor]:
        norm = torch.logsumexp(logits, dim=3)
        ctx.save_for_backward(logits, norm, next_labels)
        ctx.blank_id = blank_id
        label_logp = logits.gather(3, next_labels.unsqueeze(3)).squeeze(3) - norm
        return label_logp, logits[..., blank_id] - norm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, label_grad: Tensor, blank_grad: Tensor) -> Tuple[Tensor, None, None]:
        logits, norm, next_labels = ctx.saved_tensors
        grad = (logits - norm.unsqueeze(3)).exp_()
        grad.mul_((label_grad + blank_grad).neg_().unsqueeze(3))
        grad.scatter_add_(3, next_labels.unsqueeze(3), label_grad.unsqueeze(3))
        grad[..., ctx.blank_id].add_(blank_grad)
        return grad, None, None
