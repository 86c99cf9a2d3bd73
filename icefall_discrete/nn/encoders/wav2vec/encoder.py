"""wav2vec's context network."""

import math
from typing import List, Sequence, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.encoders.wav2vec.config import Wav2VecConfig
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames
from icefall_discrete.nn.utterance_norm import ACTIVATIONS, UtteranceNorm


class Wav2VecEncoder(Encoder):
    """Convolutions over a frame and those before it, each with a normalisation over the utterance and a way around.

    A frame hears nothing of later ones, but through the mean and the variance of the utterance, as published.
    """

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = ModuleRow(nn.Conv1d(config.dim, config.dim, kernel) for kernel in config.context_kernels)
        self.norms = ModuleRow(UtteranceNorm(config.dim) for _ in config.context_kernels)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode x (N, T, dim) with lens (N,); `inner` are numbers of layers."""
        config, scale = self.config, math.sqrt(self.config.residual_scale)
        activation, outputs = ACTIVATIONS[config.context_activation], []
        for layer, norm, kernel in zip(self.layers, self.norms, config.context_kernels):
            first = torch.zeros_like(x[:, :1]) if config.zero_padding else x[:, :1]
            before = torch.cat([first.expand(-1, kernel - 1, -1), x], dim=1)
            convolved = layer(before.transpose(1, 2)).transpose(1, 2)
            x = (activation(norm(convolved, lens)) + x) * scale
            outputs.append(x)
        found: List[Tuple[Tensor, Tensor]] = [(outputs[index], lens) for index in inner]
        return EncoderOutput(UtteranceFrames(lens, x.shape[1]).without_padding(x), lens, found)
