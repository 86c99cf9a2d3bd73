"""Building blocks that keep activations and gradients in range without normalising layers everywhere.

Schedules, Swoosh activations, Balancer, Whiten, BiasNorm: Zipformer, https://arxiv.org/abs/2310.11230.
"""

from icefall_discrete.models.scaling.balancer import Balancer
from icefall_discrete.models.scaling.bias_norm import BiasNorm
from icefall_discrete.models.scaling.bypass import Bypass
from icefall_discrete.models.scaling.linear import scaled_linear
from icefall_discrete.models.scaling.schedule import Schedule, Scheduled, set_batch_count
from icefall_discrete.models.scaling.swoosh import SwooshLinear, swoosh_l, swoosh_r
from icefall_discrete.models.scaling.whiten import Whiten

__all__ = [
    "Balancer",
    "BiasNorm",
    "Bypass",
    "Schedule",
    "Scheduled",
    "SwooshLinear",
    "Whiten",
    "scaled_linear",
    "set_batch_count",
    "swoosh_l",
    "swoosh_r",
]
