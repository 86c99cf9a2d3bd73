"""Settings of wav2vec's context network; the defaults are those of wav2vec large and vq-wav2vec."""

import dataclasses
from typing import Tuple

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EqualLayersConfig
from icefall_discrete.nn.utterance_norm import ACTIVATIONS


@dataclasses.dataclass(frozen=True)
class Wav2VecConfig(EqualLayersConfig):
    """Shape of the context network."""

    dim: int = setting(512, "channels of the convolutions", minimum=1)
    context_kernels: Tuple[int, ...] = setting(
        tuple(range(2, 14)), "frames that each convolution sees, its own and those before", minimum=1
    )
    residual_scale: float = setting(0.5, "sums of what goes through and around are multiplied by its root", above=0)
    zero_padding: bool = setting(False, "zeros stand before an utterance; false: its first frame does")
    context_activation: str = setting(
        "relu", "behind each normalisation (vq-wav2vec: gelu)", choices=tuple(ACTIVATIONS)
    )
    input_dropout = 0.0

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.context_kernels:
            raise ValueError("context_kernels is empty, expected a number for each convolution, such as 2,3,4.")

    @property
    def num_layers(self) -> int:  # type: ignore[override]
        """One a kernel."""
        return len(self.context_kernels)
