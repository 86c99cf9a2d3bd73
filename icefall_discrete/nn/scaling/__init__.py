"""Building blocks that keep activations and gradients in range without normalising layers everywhere.

Schedules, Swoosh activations, Balancer, Whiten, BiasNorm: Zipformer, https://arxiv.org/abs/2310.11230.
"""

from icefall_discrete.nn.scaling.balancer import Balancer
from icefall_discrete.nn.scaling.bias_norm import BiasNorm
from icefall_discrete.nn.scaling.bypass import Bypass
from icefall_discrete.nn.scaling.linear import scaled_linear
from icefall_discrete.nn.scaling.schedule import Schedule, Scheduled, set_batch_count
from icefall_discrete.nn.scaling.swoosh import SwooshLinear, swoosh_l, swoosh_r
from icefall_discrete.nn.scaling.whiten import Whiten, load_noise_state, noise_state

__all__ = [
    "Balancer",
    "BiasNorm",
    "Bypass",
    "Schedule",
    "Scheduled",
    "SwooshLinear",
    "Whiten",
    "load_noise_state",
    "noise_state",
    "scaled_linear",
    "set_batch_count",
    "swoosh_l",
    "swoosh_r",
]
