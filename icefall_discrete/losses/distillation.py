"""How far states are from a teacher's, dimension by dimension over time: SpeechTokenizer's semantic distillation.

Zhang et al. 2024, https://arxiv.org/abs/2308.16692, section 3.2 ("D-axis"): -1/D sum_d log sigmoid(cos(s_d, t_d)),
where s_d and t_d are the courses of dimension d over the frames of a segment. It is 0.31 where all go together, 0.69
where they have nothing in common, 1.31 where they are opposed.
"""

import torch.nn.functional as F
from torch import Tensor


def distillation_losses(student: Tensor, teacher: Tensor, heard: Tensor) -> Tensor:
    """The loss (N,) in nats of each segment.

    Args:
      student, teacher: states (N, T, D). heard: (N, T) bool, frames that count; where none does, the loss is log 2.
    """
    outside = ~heard.unsqueeze(2)
    cosines = F.cosine_similarity(student.masked_fill(outside, 0.0), teacher.masked_fill(outside, 0.0), dim=1)
    return -F.logsigmoid(cosines).mean(dim=1)
