"""RoBERTa's transformer over vectors of codes. Letters: N utterances, T frames, D dimension, P pieces of length L."""

from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.encoders.roberta.config import RobertaConfig
from icefall_discrete.nn.encoders.wav2vec2.encoder import Wav2Vec2Layer
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames

_EPSILON = 1e-5
_DEVIATION = 0.02


class _Pieces:
    """Utterances in pieces that are encoded by themselves.

    Args:
      lens: frames of each utterance (N,). num_frames: T of the padded batch. most: frames of a piece.
    """

    def __init__(self, lens: Tensor, num_frames: int, most: int) -> None:
        self.num_rows, self.num_frames = len(lens), num_frames
        self.length = min(most, max(1, num_frames))
        self.num_pieces = max(1, -(-num_frames // self.length))
        starts = torch.arange(self.num_pieces, device=lens.device) * self.length
        of_all = (lens.unsqueeze(1) - starts).clamp(0, self.length)
        # Those without a frame are left out, but an utterance has one at least.
        self.chosen = ((of_all > 0) | (starts == 0)).flatten().nonzero()[:, 0]
        self.lens = of_all.flatten().index_select(0, self.chosen)

    def split(self, x: Tensor) -> Tensor:
        """The pieces (P, L, D) of x (N, T, D)."""
        padded = F.pad(x, (0, 0, 0, self.num_pieces * self.length - self.num_frames))
        return padded.reshape(-1, self.length, x.shape[2]).index_select(0, self.chosen)

    def join(self, pieces: Tensor) -> Tensor:
        """The inverse: (N, T, D) of pieces (P, L, D)."""
        whole = pieces.new_zeros((self.num_rows * self.num_pieces, *pieces.shape[1:]))
        whole = whole.index_copy(0, self.chosen, pieces)
        return whole.reshape(self.num_rows, -1, pieces.shape[2])[:, : self.num_frames]


class RobertaEncoder(Encoder):
    """A learned vector for each place, a normalisation, layers that are normalised behind each of their modules.

    An utterance longer than the places are is encoded in pieces, one behind the other, which do not see each other.

    Args:
      config: the settings.
    """

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__()
        self.config = config
        self.positions = nn.Parameter(torch.empty(config.max_positions, config.dim).normal_(std=_DEVIATION))
        if config.marks:
            self.marks = nn.Parameter(torch.empty(2, config.dim).normal_(std=_DEVIATION))
        self.norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        self.layers = ModuleRow(Wav2Vec2Layer(config.of_layers) for _ in range(config.num_layers))
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_DEVIATION)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode a padded batch x (N, T, dim) with lens (N,); `inner` are layers whose outputs are returned too."""
        pieces = _Pieces(lens.to(x.device), x.shape[1], self.config.piece)
        x, piece_lens = self._marked(pieces.split(x), pieces.lens)
        frames = UtteranceFrames(piece_lens, x.shape[1])
        x = frames.without_padding(x + self.positions[: x.shape[1]])
        x = dropped(self.norm(x), self.config.dropout, self.training)
        outputs = {}
        for index, layer in enumerate(self.layers):
            x = layer(x, frames.hidden_sources, None)
            if index in inner:
                outputs[index] = pieces.join(self._unmarked(x))
        return EncoderOutput(pieces.join(self._unmarked(x)), lens, [(outputs[index], lens) for index in inner])

    def _marked(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Pieces x (P, L, D) with a mark before the first frame and one behind the last, and their lens (P,)."""
        if not self.config.marks:
            return x, lens
        place = torch.arange(x.shape[1] + 2, device=x.device).unsqueeze(0)
        x = F.pad(x, (0, 0, 1, 1))
        x = torch.where((place == 0).unsqueeze(2), self.marks[0].to(x.dtype), x)
        x = torch.where((place == lens.unsqueeze(1) + 1).unsqueeze(2), self.marks[1].to(x.dtype), x)
        return x, lens + 2

    def _unmarked(self, x: Tensor) -> Tensor:
        return x[:, 1:-1] if self.config.marks else x
