"""SoundStorm (https://arxiv.org/abs/2305.09636): masked codes are found in parallel, codebook by codebook.

In training a codebook is drawn, some of its codes are masked, by a cosine schedule, and all of the codebooks behind it;
the masked ones of that codebook are learnt (section 3.2). Later a codebook is found in passes: all of its codes are
told, the surest are kept, and as many as the schedule says are told again (section 3.3, MaskGIT's).

Where all codes of the codebook are masked and found at once, the most probable ones, it is the second network of VALL-E
(https://arxiv.org/abs/2301.02111, section 4.2.2), filling `nar`; with `reads_text` it sees the text as well.

Letters: N utterances, T frames, K codebooks of V_k entries, D dimension.
"""

import dataclasses
import math
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.frame_network import build_input_embedding
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.systems.perceptual.network import (
    Cost,
    Draws,
    FillConfig,
    Filler,
    ModelConfig,
    Texts,
    behind_prompts,
)


def masked_share(done: float) -> float:
    """Share of codes that are masked where `done` of the passes are over, or as it is drawn in training."""
    return math.cos(0.5 * math.pi * done)


def num_masked(total: int, number: int, num_passes: int) -> int:
    """How many of `total` codes stay masked behind pass `number` (from 1) of `num_passes`; none behind the last."""
    return 0 if number >= num_passes else math.floor(total * masked_share(number / num_passes))


class MaskedFiller(Filler):
    """The sum of the vectors of a frame's codes, some masked, through the encoder; a linear layer a codebook.

    Args:
      config: the settings. spec: of the codes. codebooks: as for build_input_embedding.
    """

    def __init__(self, config: ModelConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]]) -> None:
        sizes = tuple(size + 1 for size in spec.codebook_sizes)  # the last id is the mask's
        books = None if codebooks is None else [F.pad(book, (0, 0, 0, 1)) for book in codebooks]
        given = dataclasses.replace(spec, codebook_sizes=sizes)
        super().__init__(config, spec, build_input_embedding(config.input, given, books))
        self._at_once = config.filling == "nar"
        self.dropout = nn.Dropout(config.head_dropout)
        self.heads = ModuleRow(nn.Linear(config.encoder.out_dim, size) for size in spec.codebook_sizes[1:])

    def _known(self, shown: Tensor, lens: Tensor, texts: Sequence[Tensor]) -> Tensor:
        """Frames (N, T, D) of codes (N, T, K), masked where they are V_k, padded with V_k + 1 behind lens (N,)."""
        return self.dropout(self.frames_of(self.input_embedding(shown), lens, texts))

    def _masks(self, device: torch.device) -> Tensor:
        return torch.tensor(self.codebook_sizes, device=device)

    def _padded(self, shown: Tensor, lens: Tensor) -> Tensor:
        behind = torch.arange(shown.shape[1], device=shown.device) >= lens.unsqueeze(1)
        return torch.where(behind.unsqueeze(2), self._masks(shown.device) + 1, shown)

    def cost(self, codes: Tensor, lens: Tensor, prompts: Tensor, draws: Draws, texts: Texts = ()) -> Cost:
        """Nats of the masked codes, and how many these are; see Filler."""
        open_frames, masks = behind_prompts(codes, lens, prompts), self._masks(codes.device)
        levels, hidden = self._drawn(open_frames, draws)
        shown = codes.clone()
        for row, level in enumerate(levels):
            shown[row, open_frames[row], level + 1 :] = masks[level + 1 :]
            shown[row, hidden[row], level] = masks[level]
        frames = self._known(self._padded(shown, lens), lens, texts)
        sums = []
        for row, level in enumerate(levels):
            scores = self.heads[level - 1](frames[row, hidden[row]]).float()
            sums.append(F.cross_entropy(scores, codes[row, hidden[row], level], reduction="sum"))
        return Cost(torch.stack(sums), hidden.sum(dim=1))

    def _drawn(self, open_frames: Tensor, draws: Sequence[torch.Generator]) -> Tuple[List[int], Tensor]:
        """Of each utterance the codebook that is learnt, from 1, and its masked frames (N, T), one at least."""
        levels, hidden = [], torch.zeros_like(open_frames)
        for row, (frames, generator) in enumerate(zip(open_frames.cpu(), draws)):
            levels.append(int(torch.randint(1, len(self.codebook_sizes), (), generator=generator)))
            share = 1.0 if self._at_once else masked_share(float(torch.rand((), generator=generator)))
            chance = torch.rand(len(frames), generator=generator)
            chosen = frames & (chance < share)
            if not bool(chosen.any()):
                chosen[chance.masked_fill(~frames, 2.0).argmin()] = True
            hidden[row] = chosen.to(hidden.device)
        return levels, hidden

    @torch.no_grad()
    def filled(
        self, codes: Tensor, lens: Tensor, prompts: Tensor, config: FillConfig, draws: Draws, texts: Texts = ()
    ) -> Tensor:
        """See Filler."""
        if self._at_once:
            config = dataclasses.replace(config, iterations=(1,), code_temperature=0.0)
        open_frames, masks = behind_prompts(codes, lens, prompts), self._masks(codes.device)
        shown = codes.clone()
        shown[..., 1:] = torch.where(open_frames.unsqueeze(2), masks[1:], codes[..., 1:])
        for level in range(1, len(self.codebook_sizes)):
            num_passes = config.iterations[min(level, len(config.iterations)) - 1]
            for number in range(1, num_passes + 1):
                frames = self._known(self._padded(shown, lens), lens, texts)
                for row, generator in enumerate(draws):
                    places = (open_frames[row] & (shown[row, :, level] == masks[level])).nonzero()[:, 0]
                    if not len(places):
                        continue
                    scores = self.heads[level - 1](frames[row, places]).float().cpu()
                    kept = num_masked(int(open_frames[row].sum()), number, num_passes)
                    told = _told(scores, kept, (number - 1) / num_passes, config, generator)
                    shown[row, places, level] = torch.where(told < 0, masks[level].cpu(), told).to(shown.device)
        return shown


def _told(scores: Tensor, num_kept: int, done: float, config: FillConfig, generator: torch.Generator) -> Tensor:
    """Codes (T,) by scores (T, V), -1 for the `num_kept` least sure ones, which stay masked."""
    if config.code_temperature == 0.0:
        told = scores.argmax(dim=1)
    else:
        chances = (scores / config.code_temperature).softmax(dim=1)
        told = torch.multinomial(chances, 1, generator=generator)[:, 0]
    sure = scores.log_softmax(dim=1).gather(1, told.unsqueeze(1))[:, 0]
    if config.confidence_temperature:
        even = torch.rand(len(sure), generator=generator).clamp(1e-9, 1.0 - 1e-7)
        sure = sure - config.confidence_temperature * (1.0 - done) * (-even.log()).log()  # Gumbel's noise
    least = sure.topk(min(num_kept, len(sure)), largest=False).indices
    return told.index_fill(0, least, -1)
