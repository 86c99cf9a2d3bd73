"""One class an utterance, from all of its encoder frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.heads.classifiers.contract import Embedder
from icefall_discrete.nn.lengths import padding_mask

# Below it a variance is rounding, and the gradient of its root would be huge.
_MIN_VARIANCE = 1e-5


def statistics_pooling(x: Tensor, lens: Tensor) -> Tensor:
    """Mean and standard deviation over time of the frames x (N, T, D) of each utterance, side by side (N, 2 D).

    Section 3.2 of https://www.danielpovey.com/files/2018_icassp_xvectors.pdf. Frames behind `lens` (N,) >= 1 take no
    part. Sums are in float32 whatever the number format.
    """
    x = x.float()
    mask = padding_mask(lens, x.shape[1])
    num = lens.clamp(min=1).to(x.dtype).unsqueeze(1)

    def mean_of(values: Tensor) -> Tensor:
        valid = values if mask is None else values.masked_fill(mask.unsqueeze(2), 0.0)
        return valid.sum(dim=1) / num

    mean = mean_of(x)
    variance = mean_of((x - mean.unsqueeze(1)).square())
    return torch.cat((mean, variance.clamp(min=_MIN_VARIANCE).sqrt()), dim=1)


class CosineOutput(nn.Module):
    """Scaled cosines of the angles between vectors (N, E) and one vector a class: (N, C).

    Args:
      in_dim: E. num_classes: C. scale: what the cosines are multiplied with.
    """

    def __init__(self, in_dim: int, num_classes: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_classes, in_dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, E) to (N, C)."""
        return self.scale * F.linear(F.normalize(x.float()), F.normalize(self.weight.float()))


class ClassifierHead(nn.Module):
    """From encoder frames (N, T', D) to an embedding of the utterance, and to unnormalised log-probs (N, C) of classes.

    Args:
      embedder: from frames to embeddings. num_classes: C.
      cosine_scale: above 0: log-probs are cosines times this number, as losses with an angular margin want them.
    """

    def __init__(self, embedder: Embedder, num_classes: int, cosine_scale: float = 0.0) -> None:
        super().__init__()
        self.embedder = embedder
        self.output: nn.Module
        if cosine_scale > 0:
            self.output = CosineOutput(embedder.out_dim, num_classes, cosine_scale)
        else:
            self.output = nn.Linear(embedder.out_dim, num_classes)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Map (N, T', D) with lens (N,) to (N, C)."""
        return self.output(self.embedder.refined(self.embedder(x, lens)))
