"""Weights of ESPnet's encoders and of its front ends for units, under our names.

| ESPnet | here |
|---|---|
| `frontend.embed.0.weight` (V, D) | `input_embedding.table` (V + 1, D), with the row of padding |
| `encoder.embed.conv.0.`, `.conv.2.`, `encoder.embed.out.0.` | `front_end.conv1.`, `.conv2.`, `.out.` |
| `encoder.encoders.<i>.` | `encoder.layers.<i>.` |
| `cgmlp.channel_proj1.0.` | `cgmlp.channel_proj1.` |
| `conv_module.pointwise_conv1.weight` (2 D, D, 1), `...2.weight` | the same, without the last axis |

All other names of the encoder are the same.
"""

import re
from typing import Dict, Mapping

import torch
from torch import Tensor

_TABLE = "frontend.embed.0.weight"
_RULES = (
    (re.compile(r"^encoder\.embed\.conv\.0\."), "front_end.conv1."),
    (re.compile(r"^encoder\.embed\.conv\.2\."), "front_end.conv2."),
    (re.compile(r"^encoder\.embed\.out\.0\."), "front_end.out."),
    (re.compile(r"^encoder\.encoders\."), "encoder.layers."),
    (re.compile(r"\.cgmlp\.channel_proj1\.0\."), ".cgmlp.channel_proj1."),
)
_POINTWISE = re.compile(r"\.conv_module\.pointwise_conv[12]\.weight$")


def from_espnet(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The weights of `state` under our names; what belongs to other parts of a model keeps its name."""
    ours: Dict[str, Tensor] = {}
    for name, value in state.items():
        if name == _TABLE:
            ours["input_embedding.table"] = torch.cat((value, value.new_zeros(1, value.shape[1])))
            continue
        for pattern, replacement in _RULES:
            name = pattern.sub(replacement, name)
        ours[name] = value.squeeze(2) if _POINTWISE.search(name) else value
    return ours
