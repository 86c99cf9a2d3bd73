"""Codes that are drawn: wav2vec 2.0's quantizer, https://arxiv.org/abs/2006.11477, section 2, and vq-wav2vec's,
https://arxiv.org/abs/1910.05453, section 3.1.

Scores of G codebooks; in training a code of each is drawn by Gumbel noise, and gradients go through the softmax (with
a temperature that falls); otherwise the best is taken. Its loss is 1 - perplexity / (G V): all codes are to be used.
"""

import dataclasses
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.quantizers.contract import Quantized, Quantizer, QuantizerConfig, summed_perplexity
from icefall_discrete.nn.utterance_norm import ACTIVATIONS


@dataclasses.dataclass(frozen=True)
class GumbelConfig(QuantizerConfig):
    """Quantizer gumbel; the defaults are those of wav2vec 2.0, base."""

    num_groups: int = setting(2, "codebooks (G)", minimum=1)
    group_codes: int = setting(320, "codes of each (V)", minimum=2)
    out_dim: int = setting(256, "dimension of the vectors, which codebooks share (large models: 768)", minimum=1)
    temperature: Tuple[float, ...] = setting(
        (2.0, 0.5, 0.999995),
        "temperature of the draw: at the beginning, at least, and its factor a step (large models end at 0.1)",
        above=0,
    )
    loss_weight: float = setting(
        0.1, "weight of the loss that keeps all codes in use (vq-wav2vec as published: 0)", minimum=0
    )
    score_layer_dim: int = setting(0, "size of a layer before the scores (vq-wav2vec: 1024); 0: none", minimum=0)
    score_layer_activation: str = setting("gelu", "of that layer", choices=tuple(ACTIVATIONS))
    shared: bool = setting(False, "all groups choose among the same vectors (vq-wav2vec)")

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.temperature) != 3:
            raise ValueError(f"temperature is {list(self.temperature)}, expected three numbers: 2,0.5,0.999995.")
        if self.out_dim % self.num_groups:
            raise ValueError(f"out_dim is {self.out_dim}, which {self.num_groups} codebooks cannot share.")

    @property
    def num_codes(self) -> int:
        """G V."""
        return self.num_groups * self.group_codes

    def temperature_at(self, step: int) -> float:
        """The temperature of a step."""
        first, least, factor = self.temperature
        return max(first * factor**step, least)

    def build(self, in_dim: int) -> "GumbelQuantizer":
        """The module."""
        return GumbelQuantizer(self, in_dim)


class GumbelQuantizer(Quantizer):
    """Scores, a draw, and the vectors of the codes side by side.

    Args:
      config: the settings. in_dim: C.
    """

    config: GumbelConfig

    def __init__(self, config: GumbelConfig, in_dim: int) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(in_dim, config.score_layer_dim) if config.score_layer_dim else None
        self.scores = nn.Linear(config.score_layer_dim or in_dim, config.num_codes)
        books = 1 if config.shared else config.num_groups
        self.vectors = nn.Parameter(torch.empty(books, config.group_codes, config.out_dim // config.num_groups))
        if self.hidden is None:
            nn.init.normal_(self.scores.weight)
            nn.init.zeros_(self.scores.bias)
        nn.init.uniform_(self.vectors)

    def forward(self, x: Tensor, step: int, utterances: Optional[Tensor] = None) -> Quantized:
        """See Quantizer; each frame is quantised by itself."""
        config = self.config
        if self.hidden is not None:
            x = ACTIVATIONS[config.score_layer_activation](self.hidden(x))
        scores = self.scores(x).float().unflatten(1, (config.num_groups, config.group_codes))
        if self.training:
            chosen = F.gumbel_softmax(scores, tau=config.temperature_at(step), hard=True, dim=2)
            shares = scores.softmax(dim=2).mean(dim=0)
        else:
            chosen = F.one_hot(scores.argmax(dim=2), config.group_codes).to(scores.dtype)
            shares = chosen.mean(dim=0)
        books = self.vectors.expand(config.num_groups, -1, -1)
        vectors = torch.einsum("mgv,gve->mge", chosen.to(x.dtype), books.to(x.dtype)).flatten(1)
        perplexity = summed_perplexity(shares)
        return Quantized(vectors, chosen.argmax(dim=2), perplexity.detach(), 1.0 - perplexity / config.num_codes)
