"""Vocos in the voice of a prompt: one vector of the prompt stands beside the vectors of all frames.

The vector is learnt with the vocoder: two convolutions over the mel spectrum of the prompt, the mean and the standard
deviation of their frames, and a linear layer, as x-vectors are made (Snyder et al. 2018,
https://www.danielpovey.com/files/2018_icassp_xvectors.pdf). Du et al. 2023 (https://arxiv.org/abs/2306.07547, Table 1)
have a vocoder with one vector of a prompt beside theirs, which looks at its frames. Letters: as in contract.py.
"""

import dataclasses
import itertools
from typing import ClassVar, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.generators.contract import Fronted, FrontEnd, Prompt
from icefall_discrete.nn.generators.vocos import Vocos, VocosConfig
from icefall_discrete.nn.heads.classifier import statistics_pooling
from icefall_discrete.nn.utterance_frames import UtteranceFrames

KERNEL = 5


@dataclasses.dataclass(frozen=True)
class PromptedVocosConfig(VocosConfig):
    """Vocos, and what makes a vector of a prompt."""

    takes_prompt: ClassVar[bool] = True

    prompt_dim: int = setting(64, "size of the vector of a prompt", minimum=1)
    prompt_channels: int = setting(128, "channels of the two convolutions that read it", minimum=1)
    prompt_bins: int = setting(80, "mel bins of prompts", minimum=1)

    def build(self, in_dim: int, frame_samples: int) -> Vocos:
        """See GeneratorConfig."""
        vocos = super().build(in_dim + self.prompt_dim, frame_samples)
        vocos.front = PromptEmbedding(self)
        return vocos


class PromptEmbedding(FrontEnd):
    """See the module."""

    def __init__(self, config: PromptedVocosConfig) -> None:
        super().__init__()
        self.reach, self.prompt_bins = 0, config.prompt_bins
        channels = (config.prompt_bins, config.prompt_channels, config.prompt_channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, behind, KERNEL, padding=KERNEL // 2) for before, behind in itertools.pairwise(channels)
        )
        self.output = nn.Linear(2 * config.prompt_channels, config.prompt_dim)

    def embedding(self, prompt: Prompt) -> Tensor:
        """Vectors (N, prompt_dim) of prompts."""
        frames, x = UtteranceFrames(prompt.lens, prompt.mel.shape[1]), prompt.mel
        for convolution in self.convolutions:
            x = F.relu(convolution(frames.without_padding(x).transpose(1, 2))).transpose(1, 2)
        return self.output(statistics_pooling(x, frames.lens))

    def forward(self, x: Tensor, lens: Tensor, prompt: Prompt, prosody: Optional[Tensor] = None) -> Fronted:
        """See FrontEnd; it expects neither spectra nor prosody."""
        beside = self.embedding(prompt)[:, None].expand(-1, x.shape[1], -1)
        states = torch.cat([x, beside.to(x.dtype)], dim=2)
        return Fronted(UtteranceFrames(lens, x.shape[1]).without_padding(states))
