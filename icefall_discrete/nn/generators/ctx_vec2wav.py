"""CTX-vec2wav: Conformers that look at a prompt, with a head of prosody between them, then HiFi-GAN's generator.

Du et al. 2023, "UniCATS", https://arxiv.org/abs/2306.07547, section 4. Where the paper leaves something open, the
public code decides: the first Conformer tells prosody (voicing, log F0, energy), which is added to its states, as it is
while it is learnt and as expected later; the second gives the states that are generated from, and a mel spectrum
besides. The defaults are the published ones for 16 kHz and 100 frames a second. Submodules have the names of the
published state dicts, but for those of HiFi-GAN. Letters: N utterances, T frames, C channels.
"""

import dataclasses
from typing import ClassVar, Optional, Tuple

from torch import Tensor, nn

from icefall_discrete.base.settings import require_odd, setting
from icefall_discrete.nn.generators.contract import Fronted, FrontEnd, Prompt
from icefall_discrete.nn.generators.hifigan import Hifigan, HifiganConfig
from icefall_discrete.nn.lengths import padding_mask
from icefall_discrete.nn.prompted_conformer import PromptedConformer, PromptedShape, Seen
from icefall_discrete.nn.utterance_frames import UtteranceFrames

PROSODY_DIM = 3
KERNEL = 5


@dataclasses.dataclass(frozen=True)
class CtxVec2wavConfig(HifiganConfig):
    """CTX-vec2wav; the defaults are the published ones."""

    takes_prompt: ClassVar[bool] = True
    expects_prosody: ClassVar[bool] = True

    upsample_rates: Tuple[int, ...] = setting((8, 5, 2, 2), "their strides; the product is a frame", minimum=1)
    upsample_kernels: Tuple[int, ...] = setting((16, 10, 4, 4), "their kernels", minimum=1)
    front_dim: int = setting(184, "dimension of the two Conformers before the generator", minimum=2)
    front_num_heads: int = setting(2, "their attention heads, which share the dimension", minimum=1)
    front_feedforward_dim: int = setting(1536, "hidden channels of their feed-forwards", minimum=1)
    front_num_layers: int = setting(2, "layers of each", minimum=1)
    front_kernel: int = setting(31, "odd kernel of their convolution modules, in frames", minimum=1)
    front_dropout: float = setting(0.2, "dropout rate in them", minimum=0, maximum=0.99)
    front_attention_frames: int = setting(
        0, "frames on each side that a frame attends to, so that long audio is made in windows; 0: all", minimum=0
    )
    prompt_bins: int = setting(80, "mel bins of prompts, and of the spectrum that the front end expects", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_odd(self, "front_kernel")
        if self.front_dim % (2 * self.front_num_heads):
            raise ValueError(
                f"front_dim is {self.front_dim} with {self.front_num_heads} heads; give a number that twice the heads "
                "divides."
            )

    def build(self, in_dim: int, frame_samples: int) -> "CtxVec2wav":
        """See GeneratorConfig."""
        self.require_rates(frame_samples)
        return CtxVec2wav(self, in_dim)


class PromptedFront(FrontEnd):
    """The two Conformers.

    Args:
      in_dim: C of the vectors.
    """

    def __init__(self, config: CtxVec2wavConfig, in_dim: int) -> None:
        super().__init__()
        dim, self.prompt_bins = config.front_dim, config.prompt_bins
        shape = PromptedShape(
            dim,
            config.front_num_heads,
            config.front_feedforward_dim,
            config.front_num_layers,
            config.front_kernel,
            config.front_dropout,
            config.front_attention_frames,
        )
        self.reach = None if shape.reach is None else 2 * shape.reach + KERNEL // 2
        self.prompt_prenet = nn.Conv1d(config.prompt_bins, dim, KERNEL)
        self.encoder1 = PromptedConformer(shape, in_dim)
        self.aux_prenet = nn.Conv1d(PROSODY_DIM, dim, KERNEL, padding=KERNEL // 2)
        self.aux_proj = nn.Linear(dim, PROSODY_DIM)
        self.hidden_proj = nn.Linear(dim, dim)
        self.encoder2 = PromptedConformer(shape, 0)
        self.mel_proj = nn.Linear(dim, config.prompt_bins)

    def _seen(self, prompt: Prompt) -> Seen:
        vectors = self.prompt_prenet(prompt.mel.transpose(1, 2)).transpose(1, 2)
        hidden = padding_mask(prompt.lens - (KERNEL - 1), vectors.shape[1])
        return Seen(vectors, None if hidden is None else hidden.unsqueeze(1))

    def forward(self, x: Tensor, lens: Tensor, prompt: Prompt, prosody: Optional[Tensor] = None) -> Fronted:
        """See FrontEnd; a prompt needs five frames at least."""
        frames, seen = UtteranceFrames(lens, x.shape[1]), self._seen(prompt)
        first = self.encoder1(x, frames, seen)
        expected = self.aux_proj(first)
        told = frames.without_padding(expected if prosody is None else prosody)
        states = self.hidden_proj(first) + self.aux_prenet(told.transpose(1, 2)).transpose(1, 2)
        states = self.encoder2(states, frames, seen)
        return Fronted(frames.without_padding(states), self.mel_proj(states), expected)


class CtxVec2wav(Hifigan):
    """See the module.

    Args:
      in_dim: C of what the front end reads.
    """

    def __init__(self, config: CtxVec2wavConfig, in_dim: int) -> None:
        super().__init__(config, config.front_dim)
        self.front = PromptedFront(config, in_dim)
