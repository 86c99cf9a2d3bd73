"""Settings of the Conformer encoder; the defaults are those of ESPnet's recipe for a hundred hours of read speech."""

import dataclasses

from icefall_discrete.base.settings import require_odd, setting
from icefall_discrete.nn.attention.config import AttentionConfig

NORMS = ("batch", "layer")


@dataclasses.dataclass(frozen=True)
class ConformerConfig(AttentionConfig):
    """Shape and dropout of the Conformer encoder."""

    cnn_module_kernel: int = setting(31, "odd kernel of the convolution module, in frames", minimum=1)
    cnn_module_norm: str = setting(
        "batch",
        "normalisation in the convolution module: by statistics of the batch's frames, or of each frame alone",
        choices=NORMS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_odd(self, "cnn_module_kernel")
