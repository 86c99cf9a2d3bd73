"""The loss of classes."""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting

CROSS_ENTROPY, ANGULAR_MARGIN = "cross_entropy", "angular_margin"
# Cosines are kept this far from 1, where the gradient of the sine is infinite.
_COSINE_ROOM = 1e-7


@dataclasses.dataclass(frozen=True)
class ClassLossConfig:
    """Which loss of classes, and its weights."""

    label_smoothing: float = setting(0.1, "part of the target that all classes share", minimum=0.0, maximum=1.0)
    class_loss: str = setting(
        CROSS_ENTROPY,
        "cross_entropy, of a linear output; angular_margin: of cosines, with a margin for the class (AAM-softmax)",
        choices=(CROSS_ENTROPY, ANGULAR_MARGIN),
    )
    margin: float = setting(0.2, "angular_margin: added to the angle of the class (radians)", minimum=0.0, maximum=1.5)
    cosine_scale: float = setting(30.0, "angular_margin: what cosines are multiplied with", above=0)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def scale_of_cosines(self) -> float:
        """What the output layer multiplies cosines with; 0: it is linear."""
        return self.cosine_scale if self.class_loss == ANGULAR_MARGIN else 0.0


def class_losses(logits: Tensor, classes: Tensor, config: ClassLossConfig) -> Tensor:
    """Cross-entropy (N,) in nats of each utterance.

    Args:
      logits: unnormalised log-probs (N, C); with angular_margin cosines times `config.cosine_scale`.
      classes: numbers (N,) int64.
    """
    logits = logits.float()
    if config.class_loss == ANGULAR_MARGIN:
        logits = with_margin(logits / config.cosine_scale, classes, config.margin) * config.cosine_scale
    return F.cross_entropy(logits, classes, reduction="none", label_smoothing=config.label_smoothing)


def with_margin(cosines: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Cosines (N, C) with `margin` radians added to the angle of each utterance's class (N,).

    https://arxiv.org/abs/1801.07698, equation 3. Where the sum would pass half a turn, so that the cosine rose again,
    the cosine is lowered by margin times its sine instead, as ArcFace's code does.
    """
    cosine = cosines.gather(1, classes.unsqueeze(1)).clamp(-1 + _COSINE_ROOM, 1 - _COSINE_ROOM)
    turned = cosine * math.cos(margin) - (1.0 - cosine.square()).sqrt() * math.sin(margin)
    lowered = cosine - math.sin(margin) * margin
    return cosines.scatter(1, classes.unsqueeze(1), torch.where(cosine > -math.cos(margin), turned, lowered))
