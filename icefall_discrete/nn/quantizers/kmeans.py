"""The nearest of vectors that move along: vq-wav2vec's online k-means, https://arxiv.org/abs/1910.05453, section 3.2.

Its loss draws the vectors to the frames, and, by `commitment`, the frames to the vectors. Frames are normalised each by
itself, where fairseq takes the statistics of an utterance with its padding.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.quantizers.contract import Quantized, Quantizer, QuantizerConfig, summed_perplexity

_FIRST_SIZE = 0.01


@dataclasses.dataclass(frozen=True)
class KmeansConfig(QuantizerConfig):
    """Quantizer kmeans; the defaults are those of vq-wav2vec."""

    num_groups: int = setting(2, "codebooks (G)", minimum=1)
    group_codes: int = setting(320, "codes of each (V)", minimum=2)
    out_dim: int = setting(512, "dimension of the vectors, which codebooks share", minimum=1)
    commitment: float = setting(0.25, "weight, within the loss, of the frames' way to the vectors", minimum=0)
    loss_weight: float = setting(1.0, "weight of the loss that moves the vectors", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.out_dim % self.num_groups:
            raise ValueError(f"out_dim is {self.out_dim}, which {self.num_groups} codebooks cannot share.")

    @property
    def num_codes(self) -> int:
        """G V."""
        return self.num_groups * self.group_codes

    def build(self, in_dim: int) -> "KmeansQuantizer":
        """The module."""
        return KmeansQuantizer(self, in_dim)


class KmeansQuantizer(Quantizer):
    """A projection, and for each group of its channels the nearest vector; gradients go straight through.

    Args:
      config: the settings. in_dim: C.
    """

    def __init__(self, config: KmeansConfig, in_dim: int) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(in_dim, config.out_dim, bias=False)
        self.norm = nn.GroupNorm(config.num_groups, config.out_dim)
        self.vectors = nn.Parameter(
            _FIRST_SIZE * torch.randn(config.num_groups, config.group_codes, config.out_dim // config.num_groups)
        )

    def forward(self, x: Tensor, step: int) -> Quantized:
        """See Quantizer."""
        config = self.config
        frames = self.norm(self.project(x)).float().unflatten(1, (config.num_groups, -1))
        groups = frames.transpose(0, 1)
        codes = torch.cdist(groups, self.vectors).argmin(dim=2)
        nearest = torch.stack([vectors[rows] for vectors, rows in zip(self.vectors, codes)], dim=1)
        passed = frames + (nearest - frames).detach()
        loss = F.mse_loss(nearest, frames.detach()) + config.commitment * F.mse_loss(frames, nearest.detach())
        shares = torch.stack([torch.bincount(rows, minlength=config.group_codes) for rows in codes]) / max(1, len(x))
        return Quantized(passed.flatten(1).to(x.dtype), codes.t(), summed_perplexity(shares), loss)
