"""Features as codes of a k-means that is learnt with the network: differentiable k-means.

Onda et al. 2025, https://arxiv.org/abs/2505.16207: the assignment to centroids is soft where gradients are needed, so
that the centroids follow the loss of the recogniser; what is used afterwards are hard codes of an ordinary k-means.
Letters: N utterances, T frames, D dimensions of the features, V centroids, E size of a code's vector.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.code_embedding import FeatureNormalizer


class LearnedKmeans(NamedTuple):
    """Centroids (V, D) of (features - mean) / scale; mean and scale (D,)."""

    centroids: Tensor
    mean: Tensor
    scale: Tensor


class LearnedCodes(FeatureNormalizer):
    """A vector for each frame of features: that of the nearest centroid.

    In training its gradient is that of a sum over all centroids, weighted by softmax(-d / temperature), d the mean
    square distance over dimensions; with `straight_through` only the gradient, otherwise the value too. In evaluation
    mode the code is always hard, so that what is measured is what an export gives. Frames that are zero in every
    dimension are padding or masks, and stay zero.

    Args:
      feature_dim: D. embedding_dim: E. num_codes: V. temperature, straight_through: as above.
    """

    def __init__(
        self, feature_dim: int, embedding_dim: int, num_codes: int, temperature: float, straight_through: bool
    ) -> None:
        super().__init__(feature_dim, 0)
        if embedding_dim <= 0:
            raise ValueError("learned codes need embedding_dim above 0, the size of their vectors.")
        self.out_dim = embedding_dim
        self.temperature, self.straight_through = temperature, straight_through
        self.centroids = nn.Parameter(torch.randn(num_codes, feature_dim))
        self.table = nn.Parameter(torch.randn(num_codes, embedding_dim))

    def set_centroids(self, centroids: Tensor) -> None:
        """Begin with centroids (V, D) of normalised features."""
        with torch.no_grad():
            self.centroids.copy_(centroids)

    def distances(self, normal: Tensor) -> Tensor:
        """Mean square distances (N, T, V) of normalised features (N, T, D) from the centroids."""
        squares = normal.square().mean(dim=-1, keepdim=True) + self.centroids.square().mean(dim=1)
        return squares - 2.0 * normal @ self.centroids.t() / normal.shape[-1]

    def codes(self, features: Tensor) -> Tensor:
        """The nearest centroid (N, T) of each frame of features (N, T, D)."""
        return self.distances(self.normalized(features)).argmin(dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, T, D) float to vectors (N, T, E)."""
        present = (features != 0).any(dim=-1, keepdim=True)
        distances = self.distances(self.normalized(features).float())
        hard = F.one_hot(distances.argmin(dim=-1), distances.shape[-1]).to(distances.dtype)
        weights = hard
        if self.training:
            soft = (-distances / self.temperature).softmax(dim=-1)
            weights = hard + soft - soft.detach() if self.straight_through else soft
        return weights.to(self.table.dtype) @ self.table * present

    def kmeans(self) -> LearnedKmeans:
        """What an ordinary k-means needs to give the same codes."""
        # A constant dimension has no scale: its normalised features are 0, so that it decides nothing.
        scale = torch.where(self.scale > 0, 1.0 / self.scale.clamp(min=1e-8), torch.ones_like(self.scale))
        centroids = torch.where(self.scale > 0, self.centroids.detach(), torch.zeros_like(self.centroids))
        return LearnedKmeans(centroids, self.mean.clone(), scale)
