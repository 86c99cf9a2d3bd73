"""The LSTM encoder."""

from typing import List, Sequence, Tuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.encoders.bilstm.config import BilstmConfig
from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.module_row import ModuleRow


def _layer(in_dim: int, config: BilstmConfig) -> nn.RNNBase:
    """A layer whose recurrent weights begin orthogonal, as SpeechBrain's."""
    kind = nn.GRU if config.cell == "gru" else nn.LSTM
    layer = kind(in_dim, config.hidden_dim, batch_first=True, bidirectional=config.bidirectional)
    for name, weight in layer.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.orthogonal_(weight)
    return layer


class BilstmEncoder(Encoder):
    """Layers of LSTM (or GRU) with dropout between them. Sequences are packed: no state ever sees padding."""

    def __init__(self, config: BilstmConfig) -> None:
        super().__init__()
        self.config = config
        in_dims = [config.in_dim, *config.inner_dims[:-1]]
        self.layers: ModuleRow[nn.RNNBase] = ModuleRow(_layer(in_dim, config) for in_dim in in_dims)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode x (N, T, in_dim) with lens (N,); `inner` are numbers of layers."""
        num_frames = x.shape[1]
        packed = pack_padded_sequence(x, lens.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)

        def padded(packed: PackedSequence) -> Tensor:
            return pad_packed_sequence(packed, batch_first=True, total_length=num_frames)[0]

        outputs: List[PackedSequence] = []
        for layer in self.layers:
            if outputs:
                rate = self.config.layer_dropout
                packed = packed._replace(data=dropped(packed.data, rate, self.training))
            packed = layer(packed)[0]
            outputs.append(packed)
        found: List[Tuple[Tensor, Tensor]] = [(padded(outputs[index]), lens) for index in inner]
        return EncoderOutput(padded(outputs[-1]), lens, found)
