"""The ConvNeXt block of front ends."""

from typing import Optional

import torch
from torch import Tensor, nn

from icefall_discrete.nn.scaling import Balancer, Schedule, SwooshLinear, Whiten
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.tracing import is_traced

KERNEL = 7
REACH = KERNEL // 2


class ConvNext(nn.Module):
    """Residual block: depthwise convolution, linear to three times the channels, SwooshL, linear back.

    Works on channels-last tensors (N, T, ..., C). In training it is skipped for some utterances.
    """

    def __init__(self, depthwise: nn.Module, channels: int) -> None:
        super().__init__()
        self.depthwise = depthwise
        self.up = nn.Linear(channels, 3 * channels)
        self.hidden_balancer = Balancer(positive=(0.3, 1.0), abs_value=(0.75, 5.0))
        self.down = SwooshLinear(3 * channels, channels, "l", scale=0.01)
        self.out_balancer = Balancer(positive=(0.4, 0.6), abs_value=(1.0, 6.0))
        self.out_whiten = Whiten(5.0)
        self.skip_rate = Schedule((0.0, 0.2), (20000.0, 0.015))

    def forward(self, x: Tensor, padding: Optional[Tensor] = None) -> Tensor:
        """Map x (N, T, ..., C) to the same shape; padding broadcasts over x, True where there is no frame."""
        update = self.depthwise(x if padding is None else x.masked_fill(padding, 0.0))
        update = self.down(self.hidden_balancer(self.up(update)))
        rate = float(self.skip_rate) if self.training else 0.0
        if rate > 0.0:
            shape = (x.shape[0], *(1 for _ in x.shape[1:]))
            update = update * (torch.rand(shape, device=x.device) > rate).to(update.dtype)
        return self.out_whiten(self.out_balancer(x + update))

    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Map T + REACH frames x (N, T + 3, ..., C) behind the past (N, 3, ..., C) to the first T of them.

        num_frames (N,), on the CPU, counts those before the end of a stream, None where none ends; in evaluation mode
        only.
        """
        if num_frames is not None and (is_traced() or int(num_frames.min()) < x.shape[1]):
            padding = (torch.arange(x.shape[1]) >= num_frames.unsqueeze(1)).to(x.device)
            x = x.masked_fill(padding.view(*padding.shape, *(1 for _ in x.shape[2:])), 0.0)
        joined = torch.cat((past.frames, x), dim=1)
        past.frames = joined[:, -2 * REACH : -REACH]
        update = self.depthwise(joined)[:, REACH:-REACH]
        return x[:, :-REACH] + self.down(self.up(update))
