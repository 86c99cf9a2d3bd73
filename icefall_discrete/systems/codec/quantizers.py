"""Trainable quantizers of a codec: residual VQ, group-residual VQ, and residual VQ with factorised codes.

M frames of a batch, N segments of T frames, D dimensions, K codebooks, V entries. Gradients go straight through the
choice of an entry. Codes of one step may be fewer than K (quantizer dropout): `num_used` says how many.
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import Dict, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.clustering import fit_centroids
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.systems.codec.config import GROUP_LEVELS, CodecShape, CodecTraining
from icefall_discrete.systems.codec.networks import made_trainable
from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.factorised_vq import FactorisedVq
from icefall_discrete.tokenizers.networks.residual_vq import nearest

# So that an entry that nothing is near to does not divide by zero.
SMOOTHING = 1e-5
KMEANS_FULL_PASSES = 8


@dataclasses.dataclass(frozen=True)
class Quantized:
    """states (M, D) with straight-through gradients; codes (M, K); loss: what the quantizer adds, a scalar."""

    states: Tensor
    codes: Tensor
    loss: Tensor


def perplexity(counts: Tensor) -> float:
    """Entries (V,) that equally frequent use would make of these counts: exp of the entropy, 1 to V."""
    shares = counts / counts.sum().clamp(min=SMOOTHING)
    return float(torch.exp(-torch.xlogy(shares, shares).sum()))


def mean_distance(inputs: Tensor, entries: Tensor, used: Tensor) -> Tensor:
    """Mean squared difference of (M, D) over the frames that `used` (M,) marks and the dimensions; 0 for none."""
    return (F.mse_loss(inputs, entries, reduction="none").mean(dim=1) * used).sum() / used.sum().clamp(min=1)


def cluster(frames: Tensor, size: int, seed: int) -> Tensor:
    """Centroids (size, D) of frames (M, D) by k-means on one processor core.

    Raises ValueError if there are fewer frames than centroids.
    """
    if len(frames) < size:
        raise ValueError(
            f"{len(frames)} frames cannot start {size} entries of a codebook; set more kmeans_batches or batch_sec, "
            "or a smaller codebook_size."
        )
    centroids, _ = fit_centroids(frames.detach().cpu().numpy(), size, 1, 1, KMEANS_FULL_PASSES, 0, seed)
    return torch.from_numpy(centroids).to(frames)


class Quantizer(nn.Module, ABC):
    """A trainable quantizer of K codebooks."""

    @abstractmethod
    def start(self, frames: Tensor, num_batches: int, seed: int) -> None:
        """Set the codebooks by k-means on frames (M, D), which `num_batches` batches gave."""

    @abstractmethod
    def forward(self, frames: Tensor, num_used: Tensor, generator: torch.Generator) -> Quantized:
        """Quantise frames (M, D), each by its first `num_used` (M,) codebooks, and learn from them if in training."""

    @abstractmethod
    def first(self, frames: Tensor) -> Tensor:
        """What the first codebook (group: of each group) makes of frames (M, D), (M, D); nothing is learnt of them."""

    @abstractmethod
    def published_names(self) -> Dict[str, Tensor]:
        """Tensors under the names that the modules of inference read."""

    @abstractmethod
    def usage(self) -> List[Tensor]:
        """Running counts (V,) of the use of each codebook's entries."""


class EmaCodebook(nn.Module):
    """Entries (V, D) that follow the mean of their frames.

    Van den Oord et al. 2017, https://arxiv.org/abs/1711.00937, appendix A.1; restart of entries that are hardly used
    as in Zeghidour et al. 2021, https://arxiv.org/abs/2107.03312.
    """

    entries: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, size: int, dim: int, decay: float, dead_code_share: float) -> None:
        """All entries are zero before `start`."""
        super().__init__()
        self.decay, self.dead_code_share = decay, dead_code_share
        self.register_buffer("entries", torch.zeros(size, dim))
        self.register_buffer("sums", torch.zeros(size, dim))
        self.register_buffer("counts", torch.zeros(size))

    def start(self, frames: Tensor, num_batches: int, seed: int) -> Tensor:
        """Cluster frames (M, D); returns what is left of them."""
        self.entries.copy_(cluster(frames, len(self.entries), seed))
        ids = nearest(frames, self.entries)
        counts = torch.bincount(ids, minlength=len(self.entries)) / num_batches
        self.counts.copy_(counts.clamp(min=self.dead_code_share * counts.mean()))
        self.sums.copy_(self.entries * self.counts[:, None])
        return frames - self.entries[ids]

    @torch.no_grad()
    def update(self, frames: Tensor, ids: Tensor, generator: torch.Generator) -> None:
        """Move the entries to their frames (M, D), chosen by ids (M,), and restart those that are hardly used."""
        if not len(frames):
            return
        size = len(self.entries)
        now = torch.bincount(ids, minlength=size).to(self.counts)
        self.counts.lerp_(now, 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, ids, frames), 1 - self.decay)
        total = self.counts.sum()
        smoothed = (self.counts + SMOOTHING) / (total + size * SMOOTHING) * total
        self.entries.copy_(self.sums / smoothed[:, None])
        self._restart(frames, generator)

    def _restart(self, frames: Tensor, generator: torch.Generator) -> None:
        mean = self.counts.mean()
        dead = (self.counts < self.dead_code_share * mean).nonzero()[:, 0]
        if not len(dead):
            return
        rows = torch.randperm(len(frames), generator=generator)[: len(dead)].to(frames.device)
        dead = dead[: len(rows)]
        self.entries[dead] = frames[rows]
        # As if it were used as others are: it has time to prove itself, and does not fall back to where it was.
        self.counts[dead] = mean
        self.sums[dead] = frames[rows] * mean


class ResidualEma(Quantizer):
    """Residual VQ: each codebook codes what the ones before it left over."""

    def __init__(self, num_codebooks: int, size: int, dim: int, training: CodecTraining) -> None:
        """K codebooks (size, dim)."""
        super().__init__()
        self.books = ModuleRow(
            EmaCodebook(size, dim, training.ema_decay, training.dead_code_share) for _ in range(num_codebooks)
        )
        self.commitment_weight = training.commitment_weight

    def start(self, frames: Tensor, num_batches: int, seed: int) -> None:
        """See Quantizer."""
        for book in self.books:
            frames = book.start(frames, num_batches, seed)

    def forward(self, frames: Tensor, num_used: Tensor, generator: torch.Generator) -> Quantized:
        """See Quantizer."""
        residual, total = frames, torch.zeros_like(frames)
        codes: List[Tensor] = []
        distance = frames.new_zeros(())
        for index, book in enumerate(self.books):
            used = num_used > index
            ids = nearest(residual.detach(), book.entries)
            entries = book.entries[ids]
            distance = distance + mean_distance(residual, entries, used)
            if self.training:
                book.update(residual.detach()[used], ids[used], generator)
            total = total + entries * used[:, None]
            residual = residual - entries
            codes.append(ids)
        states = frames + (total - frames).detach()
        return Quantized(states, torch.stack(codes, dim=1), self.commitment_weight * distance)

    def first(self, frames: Tensor) -> Tensor:
        """See Quantizer."""
        entries = self.books[0].entries
        return frames + (entries[nearest(frames.detach(), entries)] - frames).detach()

    def published_names(self) -> Dict[str, Tensor]:
        """See Quantizer; the names of EnCodec."""
        return {
            f"vq.layers.{index}._codebook.embed": book.entries.cpu().clone() for index, book in enumerate(self.books)
        }

    def usage(self) -> List[Tensor]:
        """See Quantizer."""
        return [book.counts for book in self.books]


class GroupResidualEma(Quantizer):
    """Groups of dimensions with a residual VQ of two codebooks each. Yang et al. 2023, https://arxiv.org/abs/2305.02765.

    Codebooks are in the order of HiFi-Codec: the first one of each group, then the second one of each.
    """

    def __init__(self, shape: CodecShape, training: CodecTraining) -> None:
        """shape.num_codebooks / 2 groups."""
        super().__init__()
        dim = shape.state_dim // shape.num_groups
        self.groups = ModuleRow(
            ResidualEma(GROUP_LEVELS, shape.codebook_size, dim, training) for _ in range(shape.num_groups)
        )

    def _chunks(self, frames: Tensor) -> Tuple[Tensor, ...]:
        return frames.chunk(len(self.groups), dim=1)

    def start(self, frames: Tensor, num_batches: int, seed: int) -> None:
        """See Quantizer."""
        for group, part in zip(self.groups, self._chunks(frames)):
            group.start(part.contiguous(), num_batches, seed)

    def forward(self, frames: Tensor, num_used: Tensor, generator: torch.Generator) -> Quantized:
        """See Quantizer."""
        num_groups = len(self.groups)
        done = []
        for index, (group, part) in enumerate(zip(self.groups, self._chunks(frames))):
            # Of the first n codebooks, every num_groups-th from `index` on is this group's.
            levels = torch.div(num_used - index + num_groups - 1, num_groups, rounding_mode="floor")
            done.append(group(part.contiguous(), levels, generator))
        codes = torch.stack([one.codes for one in done], dim=2).flatten(1)
        loss = torch.stack([one.loss for one in done]).mean()
        return Quantized(torch.cat([one.states for one in done], dim=1), codes, loss)

    def first(self, frames: Tensor) -> Tensor:
        """See Quantizer."""
        parts = zip(self.groups, self._chunks(frames))
        return torch.cat([group.first(part.contiguous()) for group, part in parts], dim=1)

    def published_names(self) -> Dict[str, Tensor]:
        """See Quantizer; the names of HiFi-Codec."""
        tensors = {}
        for index, group in enumerate(self.groups):
            for level, book in enumerate(group.books):
                room = "quantizer_modules" if level == 0 else f"quantizer_modules{level + 1}"
                tensors[f"{room}.{index}.embedding.weight"] = book.entries.cpu().clone()
        return tensors

    def usage(self) -> List[Tensor]:
        """See Quantizer."""
        return [group.books[level].counts for level in range(GROUP_LEVELS) for group in self.groups]


class Factorised(Quantizer):
    """Residual VQ with factorised codes, learned by gradient. Kumar et al. 2023, https://arxiv.org/abs/2306.06546."""

    counts: Tensor

    def __init__(self, shape: CodecShape, training: CodecTraining, generator: torch.Generator) -> None:
        """Projections start as orthogonal ones and their inverses; codebooks by `start`."""
        super().__init__()
        tensors = {}
        for index in range(shape.num_codebooks):
            stem = f"quantizers.{index}."
            basis, _ = torch.linalg.qr(torch.randn(shape.state_dim, shape.codebook_dim, generator=generator))
            tensors[f"{stem}in_proj.weight"] = basis.t()[..., None]
            tensors[f"{stem}in_proj.bias"] = torch.zeros(shape.codebook_dim)
            tensors[f"{stem}out_proj.weight"] = basis[..., None]
            tensors[f"{stem}out_proj.bias"] = torch.zeros(shape.state_dim)
            tensors[f"{stem}codebook.weight"] = torch.zeros(shape.codebook_size, shape.codebook_dim)
        self.vq = made_trainable(FactorisedVq(Weights(tensors, "fresh quantizer")))
        self.commitment_weight, self.codebook_weight = training.commitment_weight, training.codebook_weight
        self.decay = training.ema_decay
        self.register_buffer("counts", torch.ones(shape.num_codebooks, shape.codebook_size))

    @torch.no_grad()
    def start(self, frames: Tensor, num_batches: int, seed: int) -> None:
        """See Quantizer."""
        for layer in self.vq.layers:
            latents = layer.project(frames)
            layer.codebook.copy_(cluster(latents, len(layer.codebook), seed))
            frames = frames - layer.expand(layer.codebook[layer.lookup(latents)])

    def forward(self, frames: Tensor, num_used: Tensor, generator: torch.Generator) -> Quantized:
        """See Quantizer."""
        residual, total = frames, torch.zeros_like(frames)
        codes: List[Tensor] = []
        loss = frames.new_zeros(())
        for index, layer in enumerate(self.vq.layers):
            used = num_used > index
            latents = layer.project(residual)
            ids = layer.lookup(latents.detach())
            entries = layer.codebook[ids]
            loss = loss + self.commitment_weight * mean_distance(latents, entries.detach(), used)
            loss = loss + self.codebook_weight * mean_distance(entries, latents.detach(), used)
            added = layer.expand(latents + (entries - latents).detach())
            total = total + added * used[:, None]
            residual = residual - added
            codes.append(ids)
            if self.training and bool(used.any()):
                now = torch.bincount(ids[used], minlength=self.counts.shape[1])
                self.counts[index].lerp_(now.to(self.counts), 1 - self.decay)
        return Quantized(total, torch.stack(codes, dim=1), loss)

    def first(self, frames: Tensor) -> Tensor:
        """See Quantizer."""
        layer = self.vq.layers[0]
        latents = layer.project(frames)
        return layer.expand(latents + (layer.codebook[layer.lookup(latents.detach())] - latents).detach())

    def published_names(self) -> Dict[str, Tensor]:
        """See Quantizer; the names of transformers' DAC."""
        tensors = {}
        for index, layer in enumerate(self.vq.layers):
            for name in ("in_proj", "out_proj"):
                weight = getattr(layer, f"{name}_weight")[..., None]
                tensors[f"quantizers.{index}.{name}.weight"] = weight.detach().cpu().contiguous()
                tensors[f"quantizers.{index}.{name}.bias"] = getattr(layer, f"{name}_bias").detach().cpu().clone()
            tensors[f"quantizers.{index}.codebook.weight"] = layer.codebook.detach().cpu().clone()
        return tensors

    def usage(self) -> List[Tensor]:
        """See Quantizer."""
        return list(self.counts)


def make_quantizer(shape: CodecShape, training: CodecTraining, generator: torch.Generator) -> Quantizer:
    """The quantizer that `shape.quantizer` names."""
    if shape.quantizer == "group":
        return GroupResidualEma(shape, training)
    if shape.quantizer == "factorised":
        return Factorised(shape, training, generator)
    return ResidualEma(shape.num_codebooks, shape.codebook_size, shape.state_dim, training)
