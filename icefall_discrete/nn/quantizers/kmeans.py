"""The nearest of vectors that move along: vq-wav2vec's online k-means, https://arxiv.org/abs/1910.05453, section 3.2.

Its loss draws the vectors to the frames, and, by `commitment`, the frames to the vectors. Frames are normalised each by
itself, or with the statistics of their utterance, as fairseq does, whose padding counts there and not here.
"""

import dataclasses
from typing import Optional

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
    own_channels: bool = setting(
        False, "each group is made of its own share of the channels (fairseq's vq-wav2vec), not of all of them"
    )
    shared: bool = setting(False, "all groups choose among the same vectors (fairseq's vq-wav2vec)")
    norm_over: str = setting(
        "frame",
        "each group of each frame has mean 0 and variance 1, or each group over an utterance (fairseq's vq-wav2vec)",
        choices=("frame", "utterance"),
    )

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

    config: KmeansConfig

    def __init__(self, config: KmeansConfig, in_dim: int) -> None:
        super().__init__()
        self.config = config
        if config.own_channels and in_dim % config.num_groups:
            raise ValueError(f"the input has {in_dim} channels, which {config.num_groups} codebooks cannot share.")
        self.shares = config.num_groups if config.own_channels else 1
        self.project = nn.Linear(in_dim // self.shares, config.out_dim, bias=False)
        self.norm = nn.GroupNorm(config.num_groups, config.out_dim)
        books = 1 if config.shared else config.num_groups
        self.vectors = nn.Parameter(
            _FIRST_SIZE * torch.randn(books, config.group_codes, config.out_dim // config.num_groups)
        )

    def _projected(self, x: Tensor) -> Tensor:
        """(M, out_dim) of frames x (M, C); with `own_channels` a group sees its share alone."""
        rows = self.project.weight.unflatten(0, (self.shares, -1))
        return torch.einsum("mgc,gec->mge", x.unflatten(1, (self.shares, -1)), rows.to(x.dtype)).flatten(1)

    def _normal(self, x: Tensor, utterances: Optional[Tensor]) -> Tensor:
        """Frames x (M, out_dim) of mean 0 and variance 1, (M, G, E / G)."""
        if self.config.norm_over == "frame":
            return self.norm(x).float().unflatten(1, (self.config.num_groups, -1))
        values = x.float().unflatten(1, (self.config.num_groups, -1))
        numbers = torch.zeros(len(x), dtype=torch.long, device=x.device) if utterances is None else utterances
        zeros = values.new_zeros(int(numbers.max()) + 1 if len(x) else 0, self.config.num_groups)
        count = zeros[:, 0].index_add(0, numbers, values.new_ones(len(x))).clamp(min=1).unsqueeze(1)

        def mean(each: Tensor) -> Tensor:
            return (zeros.index_add(0, numbers, each.mean(dim=2)) / count)[numbers].unsqueeze(2)

        off = values - mean(values)
        normal = (off * (mean(off.square()) + self.norm.eps).rsqrt()).flatten(1)
        return (normal * self.norm.weight + self.norm.bias).unflatten(1, (self.config.num_groups, -1))

    def forward(self, x: Tensor, step: int, utterances: Optional[Tensor] = None) -> Quantized:
        """See Quantizer."""
        config = self.config
        projected = self._projected(x) if config.own_channels else self.project(x)
        frames = self._normal(projected, utterances)
        groups, books = frames.transpose(0, 1), self.vectors.expand(config.num_groups, -1, -1)
        codes = torch.cdist(groups, books).argmin(dim=2)
        nearest = torch.stack([vectors[rows] for vectors, rows in zip(books, codes)], dim=1)
        passed = frames + (nearest - frames).detach()
        loss = F.mse_loss(nearest, frames.detach()) + config.commitment * F.mse_loss(frames, nearest.detach())
        shares = torch.stack([torch.bincount(rows, minlength=config.group_codes) for rows in codes]) / max(1, len(x))
        return Quantized(passed.flatten(1).to(x.dtype), codes.t(), summed_perplexity(shares), loss)
