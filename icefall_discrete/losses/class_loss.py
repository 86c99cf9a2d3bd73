"""The loss of classes."""

import dataclasses

import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting


@dataclasses.dataclass(frozen=True)
class ClassLossConfig:
    """Weights of the loss of classes."""

    label_smoothing: float = setting(0.1, "part of the target that all classes share", minimum=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        check_settings(self)


def class_losses(logits: Tensor, classes: Tensor, config: ClassLossConfig) -> Tensor:
    """Cross-entropy (N,) in nats of each utterance.

    Args:
      logits: unnormalised log-probs (N, C). classes: numbers (N,) int64.
    """
    return F.cross_entropy(logits.float(), classes, reduction="none", label_smoothing=config.label_smoothing)
