"""Normalisation of frames: each by itself, or by statistics of those that are no padding."""

from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn

# As in ESPnet: with 1e-5 a frame of small values would come out smaller than there.
EPSILON = 1.0e-12


def layer_norm(dim: int) -> nn.LayerNorm:
    """Normalisation of each frame over its `dim` channels."""
    return nn.LayerNorm(dim, eps=EPSILON)


class FrameBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of frames (N, T, D) whose statistics leave padding out.

    In training a batch depends on all its frames, but not on how far it is padded.
    """

    def forward(self, x: Tensor, padding: Optional[Tensor] = None) -> Tensor:
        """Normalise x (N, T, D); padding (N, T, 1) is True where there is no frame, and comes out as zeros."""
        kept = x.flatten(0, 1) if padding is None else x[~padding.squeeze(2)]
        if self.training and len(kept) > 1:
            normal = super().forward(kept)
        else:  # one frame has no variance
            normal = F.batch_norm(kept, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if padding is None:
            return normal.view_as(x)
        return normal.new_zeros(x.shape).masked_scatter(~padding, normal)
