"""SpeechGPT-Gen's flow matching (https://arxiv.org/abs/2401.13527): from noise about first codes' vectors to latents.

The path is straight (https://arxiv.org/abs/2210.02747 with no width left at its end): x_t = (1 - t) x_0 + t x_1 with
x_1 the latents of all codebooks and x_0 the vector of the first code plus noise; the field is x_1 - x_0. A prompt,
frames at the beginning, is there without noise and is not learnt.

Letters: N utterances, T frames, K codebooks, D dimension of latents, E of the encoder's input.
"""

import dataclasses
import math
from typing import Sequence, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.systems.perceptual.latents import Latents
from icefall_discrete.systems.perceptual.network import (
    Cost,
    Draws,
    FillConfig,
    Filler,
    ModelConfig,
    Texts,
    behind_prompts,
    drawn,
)
from icefall_discrete.systems.perceptual.solver import solved

_FASTEST, _TIME_SCALE = 10000.0, 1000.0


def time_vectors(times: Tensor, dim: int) -> Tensor:
    """Sines and cosines (N, dim) of times (N,) between 0 and 1."""
    rates = torch.exp(-math.log(_FASTEST) * torch.arange(dim // 2, device=times.device) / max(1, dim // 2))
    angles = _TIME_SCALE * times.unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos(), angles.new_zeros(len(times), dim % 2)], dim=1)


class FlowFiller(Filler):
    """The encoder as a field: of each frame where it is, the latents of the prompt, the time, and the first code.

    Args:
      config: the settings. spec: of the codes. codebooks: K tensors (V_k, D).
    """

    def __init__(self, config: ModelConfig, spec: FeatureSpec, codebooks: Sequence[Tensor]) -> None:
        first = dataclasses.replace(spec, codebook_sizes=spec.codebook_sizes[:1], num_codebooks=1)
        super().__init__(config, spec, build_input_embedding(config.input, first, codebooks[:1]))
        self.latents = Latents(codebooks)
        dim, width = self.latents.dim, self.input_embedding.out_dim
        self.state = nn.Linear(2 * dim + width, width)
        self.dropout = nn.Dropout(config.head_dropout)
        self.output = nn.Linear(config.encoder.out_dim, dim)

    def field(self, x: Tensor, times: Tensor, prompt: Tensor, first: Tensor, lens: Tensor) -> Tensor:
        """Where x (N, T, D) goes at times (N,), (N, T, D).

        Args:
          prompt: latents (N, T, D) of the prompt, 0 elsewhere. first: codes (N, T) of the first codebook, padded.
        """
        known = self.input_embedding(first.unsqueeze(2))
        at = time_vectors(times, known.shape[2]).unsqueeze(1).expand(-1, x.shape[1], -1)
        inside = (torch.arange(x.shape[1], device=x.device) < lens.unsqueeze(1)).unsqueeze(2)
        vectors = (self.state(torch.cat([x, prompt, at], dim=2)) + known) * inside
        return self.output(self.dropout(self.encode_vectors(vectors, lens).encoder_out))

    def _ends(self, codes: Tensor, lens: Tensor, draws: Sequence[torch.Generator]) -> Tuple[Tensor, Tensor]:
        """Where the path begins and ends, x_0 and x_1, (N, T, D)."""
        noise = drawn(draws, lens.tolist(), self.latents.dim, codes.device)
        return noise + self.latents.of(codes[..., :1]), self.latents.of(codes)

    def cost(self, codes: Tensor, lens: Tensor, prompts: Tensor, draws: Draws, texts: Texts = ()) -> Cost:
        """Squared distance from the path's field, a mean over dimensions, and the frames behind prompts; see Filler."""
        open_frames = behind_prompts(codes, lens, prompts).unsqueeze(2)
        times = torch.stack([torch.rand((), generator=generator) for generator in draws]).to(codes.device)
        begin, end = self._ends(codes, lens, draws)
        share = times[:, None, None]
        x = torch.where(open_frames, (1.0 - share) * begin + share * end, end)
        found = self.field(x, times, end.masked_fill(open_frames, 0.0), codes[..., 0], lens)
        distance = (found.float() - (end - begin)).square().mean(dim=2) * open_frames.squeeze(2)
        return Cost(distance.sum(dim=1), open_frames.sum(dim=(1, 2)))

    @torch.no_grad()
    def filled(
        self, codes: Tensor, lens: Tensor, prompts: Tensor, config: FillConfig, draws: Draws, texts: Texts = ()
    ) -> Tensor:
        """See Filler."""
        open_frames = behind_prompts(codes, lens, prompts).unsqueeze(2)
        begin, end = self._ends(codes, lens, draws)
        prompt = end.masked_fill(open_frames, 0.0)

        def field(x: Tensor, time: float) -> Tensor:
            clean = torch.where(open_frames, x, end)
            return self.field(clean, x.new_full((len(x),), time), prompt, codes[..., 0], lens)

        found = self.latents.codes_of(solved(field, begin, config.num_steps, config.solver), codes[..., 0])
        return torch.where(open_frames, found, codes)
