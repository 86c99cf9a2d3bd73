"""From the input of a batch to vectors: codes of K codebooks, or normalised continuous features.

Letters: N utterances, T frames, K codebooks, V_k size of codebook k (its padding id is V_k), D_k its dimension.
Both modules map padding to zero vectors: the padding id of codes, all-zero frames of continuous features.
"""

import itertools
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.tracing import is_traced

COMBINATIONS = ("concat", "sum", "weighted_sum", "attention")


def standardized(codebook: Tensor) -> Tensor:
    """Shift and scale each dimension of a codebook (V, D) to zero mean and unit variance over its V entries.

    A constant dimension becomes zero. Learning rates then do not depend on the units of the tokenizer's space.
    """
    codebook = codebook.to(torch.float32)
    centred = codebook - codebook.mean(dim=0)
    deviation = centred.pow(2).mean(dim=0).sqrt()
    return centred / torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def _table_from(codebooks: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """One table (sum V_k + 1, max D_k) of standardised codebooks; narrower ones are filled with zeros on the right."""
    found = [tuple(codebook.shape) for codebook in codebooks]
    if [shape[0] for shape in found] != list(sizes):
        raise ValueError(
            f"the tokenizer's codebooks have shapes {found}, but its spec says sizes {list(sizes)}; "
            "extract the codes again so that codebooks.safetensors and spec.json belong together."
        )
    width = max(shape[1] for shape in found)
    rows = [F.pad(standardized(codebook), (0, width - codebook.shape[1])) for codebook in codebooks]
    return torch.cat([*rows, torch.zeros(1, width)])


def _projection(in_dim: int, out_dim: int) -> nn.Module:
    """Linear map without bias (zeros stay zeros), or nothing where the sizes agree already."""
    return nn.Identity() if in_dim == out_dim else nn.Linear(in_dim, out_dim, bias=False)


class InputEmbedding(nn.Module):
    """Maps the frames of a batch (N, T, ...) to vectors (N, T, out_dim)."""

    out_dim: int


class CodebookAttention(nn.Module):
    """A sum of the vectors of a frame's codes with weights that a small network gives each of them, softmaxed.

    DASB's, https://arxiv.org/abs/2406.14294: linear D -> D, rectifier, linear D -> 1 without bias. Padding gets no
    weight, as long as any code of the frame is none.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def forward(self, vectors: Tensor, padded: Tensor) -> Tensor:
        """Map vectors (N, T, K, D) of codes, of which `padded` (N, T, K) are padding, to (N, T, D)."""
        scores = self.score(self.hidden(vectors).relu()).squeeze(3)
        absent = padded & ~padded.all(dim=2, keepdim=True)
        weights = scores.masked_fill(absent, float("-inf")).softmax(dim=2)
        return torch.einsum("ntkd,ntk->ntd", vectors, weights)


class CodeEmbedding(InputEmbedding):
    """Vectors of codes: one table for all codebooks, then their combination, then a projection where sizes differ.

    arXiv 2309.07377, Figure 1: one embedding a group, fused into one feature. Padding ids give zero vectors and their
    row is never trained. The table holds sum V_k + 1 rows: codebook k starts at row V_0 + ... + V_{k-1}, and the last
    row is the padding row of all. Combinations: "concat", the K vectors side by side; "sum", sum_k x_k; "weighted_sum",
    sum_k w_k x_k with learned weights w (K,), the parameter `codebook_weights`, that start as the plain sum, w_k = 1;
    "attention", a sum whose weights depend on the codes (CodebookAttention).

    Args:
      codebook_sizes: V_k of each codebook.
      embedding_dim: size of the output; 0 means the size of the combination, so that there is no projection.
      codebook_dim: size of one codebook's vectors when they are learned; 0 means embedding_dim.
      combination: one of COMBINATIONS.
      codebooks: K tensors (V_k, D_k) that set the vectors (standardised per dimension); None learns them from noise.
      frozen: whether the table keeps its initial values.
    """

    sizes: Tensor
    offsets: Tensor

    def __init__(
        self,
        codebook_sizes: Sequence[int],
        embedding_dim: int,
        codebook_dim: int = 0,
        combination: str = "concat",
        codebooks: Optional[Sequence[Tensor]] = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if combination not in COMBINATIONS:
            raise ValueError(f"codebook_combination is '{combination}'; known: {', '.join(COMBINATIONS)}.")
        sizes = list(codebook_sizes)
        self.combination = combination
        self.pad_row = sum(sizes)
        if codebooks is None:
            width = codebook_dim or embedding_dim
            if width <= 0:
                raise ValueError("a learned embedding needs embedding_dim or codebook_dim above 0.")
            table = torch.randn(self.pad_row + 1, width)
            table[self.pad_row] = 0.0
        else:
            table = _table_from(codebooks, sizes)
        self.table = nn.Parameter(table, requires_grad=not frozen)
        combined_dim = table.shape[1] * (len(sizes) if combination == "concat" else 1)
        self.out_dim = embedding_dim or combined_dim
        self.projection = _projection(combined_dim, self.out_dim)
        if combination == "weighted_sum":
            self.codebook_weights = nn.Parameter(torch.ones(len(sizes)))
        if combination == "attention":
            self.attention = CodebookAttention(table.shape[1])
        self.register_buffer("sizes", torch.tensor(sizes), persistent=False)
        self.register_buffer("offsets", torch.tensor([0, *itertools.accumulate(sizes)][:-1]), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Embed codes (N, T, K) int64 into (N, T, out_dim); `codes` is not changed.

        Raises:
          ValueError: if an id lies outside 0..V_k (V_k is padding): it would read another codebook's rows.
        """
        if codes.shape[-1] != len(self.sizes):
            raise ValueError(f"codes of shape {tuple(codes.shape)}, expected {len(self.sizes)} codebooks (last axis).")
        outside = (codes < 0) | (codes > self.sizes)
        if not is_traced() and bool(outside.any()):
            row, frame, book = (int(index) for index in outside.nonzero()[0])
            raise ValueError(
                f"code {int(codes[row, frame, book])} in utterance {row}, frame {frame}, codebook {book} is outside "
                f"0..{int(self.sizes[book])} ({int(self.sizes[book])} is padding); were the cuts made with this spec?"
            )
        padded = codes == self.sizes
        rows = torch.where(padded, self.pad_row, codes + self.offsets)
        vectors = F.embedding(rows, self.table, padding_idx=self.pad_row)
        return self.projection(self._combine(vectors, padded))

    def _combine(self, vectors: Tensor, padded: Tensor) -> Tensor:
        """One vector a frame (N, T, D') from those of its K codes (N, T, K, D), some of which may be padding."""
        if self.combination == "concat":
            return vectors.flatten(2)
        if self.combination == "sum":
            return vectors.sum(dim=2)
        if self.combination == "attention":
            return self.attention(vectors, padded)
        return torch.einsum("ntkd,k->ntd", vectors, self.codebook_weights)


class FeatureNormalizer(InputEmbedding):
    """Continuous features with the training data's mean and variance removed, projected where sizes differ.

    Frames that are zero in every dimension are padding or masks and stay zero, the mean of normalised features.
    The statistics are buffers, 0 and 1 until `set_statistics`, so that a checkpoint carries them.

    Args:
      feature_dim: D of the features.
      embedding_dim: size of the output; 0 means feature_dim, so that there is no projection.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, feature_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_dim))
        self.register_buffer("scale", torch.ones(feature_dim))
        self.out_dim = embedding_dim or feature_dim
        self.projection = _projection(feature_dim, self.out_dim)

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Set mean (D,) and standard deviation (D,) of the training features; a constant feature becomes zero."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-8, 1.0 / deviation.clamp(min=1e-8), torch.zeros_like(deviation)))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (N, T, D) float into (N, T, out_dim); `features` is not changed."""
        return self.projection(self.normalized(features))

    def normalized(self, features: Tensor) -> Tensor:
        """The same (N, T, D), before they are projected."""
        if features.shape[-1] != len(self.mean):
            raise ValueError(f"features of shape {tuple(features.shape)}, expected {len(self.mean)} dimensions.")
        present = (features != 0).any(dim=-1, keepdim=True)
        return (features - self.mean) * self.scale * present


class EmbeddingAugment(nn.Module):
    """Masks over embedding dimensions and Gaussian noise, in training and from a stated epoch on.

    As the code of arXiv 2309.07377 does after its embedding: each utterance, with probability `augment_prob`, loses
    `num_embedding_masks` spans of up to `embedding_mask_size` neighbouring dimensions, the same in all of its frames;
    with probability `gaussian_noise_prob` an utterance then gets noise of unit variance. Draws from torch's own
    generator, whose state the checkpoint keeps.
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config
        self.epoch = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, T, D) with masks and noise; x itself outside training and before the start epoch."""
        config = self.config
        if not self.training or not config.is_on(self.epoch):
            return x
        num_utterances, _, dim = x.shape
        if config.num_embedding_masks > 0 and config.embedding_mask_size > 0:
            shape = (num_utterances, config.num_embedding_masks, 1)
            width = torch.randint(0, min(config.embedding_mask_size, dim) + 1, shape)
            start = (torch.rand(shape) * (dim - width + 1)).long()
            chosen = torch.rand(num_utterances, 1) < config.augment_prob
            position = torch.arange(dim)
            masked = ((position >= start) & (position < start + width)).any(dim=1) & chosen
            x = x.masked_fill(masked.unsqueeze(1).to(x.device), 0.0)
        if config.gaussian_noise_prob > 0:
            noisy = torch.rand(num_utterances, 1, 1) < config.gaussian_noise_prob
            x = x + torch.randn_like(x) * noisy.to(x.device)
        return x
