"""Cross-entropy of labels whose target is not quite sure of them: label smoothing, https://arxiv.org/abs/1512.00567."""

import math

import torch
from torch import Tensor


def smoothed_divergence(logits: Tensor, targets: Tensor, target_lens: Tensor, smoothing: float) -> Tensor:
    """KL(q || p) summed over the labels of each sentence, (N,) in nats, in the number format of the logits.

    p is the softmax of the logits; q has 1 - s for the label and s / (V - 1) for each other unit, so that the least
    value is 0, where p = q. This is ESPnet's loss. icefall's is cross-entropy with 1 - s' + s' / V and s' / V: the same
    for s = s' (V - 1) / V, but for a constant, the entropy of q.

    Args:
      logits: (N, U, V). targets: (N, U), units; what is behind the end counts for nothing. target_lens: (N,).
      smoothing: s, at least 0 and below 1; 0 is cross-entropy.
    """
    others = logits.shape[2] - 1
    log_probs = logits.log_softmax(dim=2)
    of_label = log_probs.gather(2, targets.unsqueeze(2)).squeeze(2)
    of_others = log_probs.sum(dim=2) - of_label
    sure = math.log(1.0 - smoothing) * (1.0 - smoothing)
    unsure = math.log(smoothing / others) * smoothing if smoothing > 0.0 else 0.0
    losses = sure + unsure - (1.0 - smoothing) * of_label - smoothing / others * of_others
    behind = torch.arange(losses.shape[1], device=losses.device) >= target_lens.unsqueeze(1)
    return losses.masked_fill(behind, 0.0).sum(dim=1)
