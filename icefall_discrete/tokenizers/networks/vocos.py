"""Vocos, the decoder of Language-Codec and, with attention, of WavTokenizer: ConvNeXt blocks on the frames, then an
inverse Fourier transform.

Siuzdak 2023, https://arxiv.org/abs/2306.00814; the attention before it is of Ji et al. 2024,
https://arxiv.org/abs/2408.16532. Sizes are read off the weights, and submodules have the published names, so that a
state dict loads. Letters: D channels of the codebook, C of the backbone, T frames, H hop, S = T H samples.
"""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.inverse_stft import inverse_stft
from icefall_discrete.nn.vocos_block import NORM_EPS, VocosBlock
from icefall_discrete.tokenizers.formats.pretrained import Weights

NUM_GROUPS = 32
MAX_MAGNITUDE = 100.0


class ConditionedNorm(nn.Module):
    """Layer norm (T, C) with the scale and shift of condition 0, the only one that is used."""

    def __init__(self, num_conditions: int, dim: int) -> None:
        """Sizes of the tables `scale` and `shift`."""
        super().__init__()
        self.scale = nn.Embedding(num_conditions, dim)
        self.shift = nn.Embedding(num_conditions, dim)

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        return F.layer_norm(states, states.shape[-1:], eps=NORM_EPS) * self.scale.weight[0] + self.shift.weight[0]


class ResnetBlock(nn.Module):
    """Twice group norm over time, SiLU and convolution, added to the input (1, C, T)."""

    def __init__(self, dim: int) -> None:
        """Width `dim`."""
        super().__init__()
        self.norm1 = nn.GroupNorm(NUM_GROUPS, dim, eps=NORM_EPS)
        self.conv1 = nn.Conv1d(dim, dim, 3, padding=1)
        self.norm2 = nn.GroupNorm(NUM_GROUPS, dim, eps=NORM_EPS)
        self.conv2 = nn.Conv1d(dim, dim, 3, padding=1)

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        return states + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(states))))))


class AttentionBlock(nn.Module):
    """Self-attention with one head over all frames, added to the input (1, C, T)."""

    def __init__(self, dim: int) -> None:
        """Width `dim`."""
        super().__init__()
        self.norm = nn.GroupNorm(NUM_GROUPS, dim, eps=NORM_EPS)
        self.q, self.k, self.v, self.proj_out = (nn.Conv1d(dim, dim, 1) for _ in range(4))

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        normed = self.norm(states)
        scores = self.q(normed).transpose(1, 2) @ self.k(normed) * states.shape[1] ** -0.5
        return states + self.proj_out(self.v(normed) @ scores.softmax(dim=2).transpose(1, 2))


def _attention(dim: int) -> nn.Module:
    return nn.Sequential(
        ResnetBlock(dim),
        ResnetBlock(dim),
        AttentionBlock(dim),
        ResnetBlock(dim),
        ResnetBlock(dim),
        nn.GroupNorm(NUM_GROUPS, dim, eps=NORM_EPS),
    )


class Backbone(nn.Module):
    """Frames (D, T) to states (T, C)."""

    def __init__(self, shapes: Dict[str, torch.Size]) -> None:
        """`shapes` of the weights, by name."""
        super().__init__()
        dim, input_dim, kernel = shapes["embed.weight"]
        num_conditions = shapes["norm.scale.weight"][0]
        num_layers = sum(name.endswith(".gamma") for name in shapes)
        hidden_dim = shapes["convnext.0.pwconv1.weight"][0]
        self.embed = nn.Conv1d(input_dim, dim, kernel, padding=kernel // 2)
        attends = any(name.startswith("pos_net.") for name in shapes)
        self.pos_net = _attention(dim) if attends else nn.Identity()
        self.norm = ConditionedNorm(num_conditions, dim)
        self.convnext = nn.ModuleList(
            VocosBlock(ConditionedNorm(num_conditions, dim), dim, hidden_dim) for _ in range(num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        states = self.norm(self.pos_net(self.embed(frames[None]))[0].t()).t()
        for block in self.convnext:
            states = block(states)
        return self.final_layer_norm(states.t())


class Vocos(nn.Module):
    """Frames (D, T) to audio (1, T H)."""

    window: Tensor

    def __init__(self, weights: Weights, hop: int) -> None:
        """Take `backbone.*` and `head.*`; `hop` is the samples of a frame."""
        super().__init__()
        backbone = weights.part("backbone.")
        tensors = {name: backbone.take(name) for name in backbone.names()}
        out = weights.take("head.out.weight")
        self.hop = hop
        self.out = nn.Linear(out.shape[1], out.shape[0])
        self.out.load_state_dict({"weight": out, "bias": weights.take("head.out.bias")})
        self.register_buffer("window", weights.take("head.istft.window"))
        try:
            self.backbone = Backbone({name: tensor.shape for name, tensor in tensors.items()})
            self.backbone.load_state_dict(tensors)
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"the decoder's weights are not those of WavTokenizer or Language-Codec ({error})."
            ) from None

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        log_magnitude, phase = self.out(self.backbone(frames)).t().chunk(2)
        magnitude = log_magnitude.exp().clamp(max=MAX_MAGNITUDE)
        return inverse_stft(torch.polar(magnitude, phase)[None], self.window, self.hop)
