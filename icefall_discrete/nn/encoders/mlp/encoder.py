"""The encoder of layers over single frames."""

from typing import List, Sequence

from torch import Tensor, nn

from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.encoders.mlp.config import MlpConfig
from icefall_discrete.nn.module_row import ModuleRow


class Mlp(Encoder):
    """Linear maps, each with a sigmoid behind it: no frame sees another one."""

    def __init__(self, config: MlpConfig) -> None:
        super().__init__()
        self.config = config
        in_dims = [config.in_dim, *config.inner_dims[:-1]]
        self.layers: ModuleRow[nn.Linear] = ModuleRow(nn.Linear(in_dim, config.hidden_dim) for in_dim in in_dims)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode x (N, T, in_dim) with lens (N,); `inner` are numbers of layers."""
        outputs: List[Tensor] = []
        for layer in self.layers:
            x = layer(x).sigmoid()
            outputs.append(x)
        return EncoderOutput(x, lens, [(outputs[index], lens) for index in inner])
