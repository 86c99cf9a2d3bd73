"""Settings of the E-Branchformer encoder; the defaults are those of ESPnet for units of a hundred hours."""

import dataclasses

from icefall_discrete.base.settings import require_odd, setting
from icefall_discrete.nn.attention.config import AttentionConfig


@dataclasses.dataclass(frozen=True)
class EBranchformerConfig(AttentionConfig):
    """Shape and dropout of the E-Branchformer encoder."""

    cgmlp_dim: int = setting(1024, "hidden dimension of the gated MLP, even: half of it is the gate", minimum=2)
    cgmlp_kernel: int = setting(31, "odd convolution kernel of the gate, in frames", minimum=1)
    merge_kernel: int = setting(31, "odd convolution kernel that merges the two branches, in frames", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_odd(self, "cgmlp_kernel", "merge_kernel")
        if self.cgmlp_dim % 2:
            raise ValueError(f"cgmlp_dim is {self.cgmlp_dim}, expected an even number.")
