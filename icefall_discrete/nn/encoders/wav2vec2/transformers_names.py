"""Weights of wav2vec 2.0, HuBERT, WavLM and XLSR by the names that transformers gives them, and here."""

import re
from typing import Dict, Mapping, Tuple

from torch import Tensor

_LAYER = r"encoder\.layers\.(\d+)\."
# Whole names, and what stands for them here; \1 and \2 are what the pattern found.
_NAMES: Tuple[Tuple[str, str], ...] = (
    (r"feature_extractor\.conv_layers\.(\d+)\.conv\.(\w+)", r"front_end.convolutions.\1.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.layer_norm\.(\w+)", r"front_end.norms.\1.\2"),
    (r"feature_projection\.layer_norm\.(\w+)", r"front_end.frame_norm.\1"),
    (r"feature_projection\.projection\.(\w+)", r"front_end.project.\1"),
    (r"masked_spec_embed", r"front_end.mask_vector"),
    (r"encoder\.pos_conv_embed\.conv\.bias", r"encoder.positions.bias"),
    (r"encoder\.pos_conv_embed\.conv\.(?:weight_g|parametrizations\.weight\.original0)", r"encoder.positions.gain"),
    (
        r"encoder\.pos_conv_embed\.conv\.(?:weight_v|parametrizations\.weight\.original1)",
        r"encoder.positions.direction",
    ),
    (r"encoder\.layer_norm\.(\w+)", r"encoder.norm.\1"),
    (_LAYER + r"attention\.([qkv]|out)_proj\.(\w+)", r"encoder.layers.\1.self_attn.linear_\2.\3"),
    (_LAYER + r"attention\.gru_rel_pos_linear\.(\w+)", r"encoder.layers.\1.self_attn.gate.\2"),
    (_LAYER + r"attention\.gru_rel_pos_const", r"encoder.layers.\1.self_attn.gate_scale"),
    (_LAYER + r"attention\.rel_attn_embed\.weight", r"encoder.offsets.table.weight"),
    (_LAYER + r"layer_norm\.(\w+)", r"encoder.layers.\1.norm1.\2"),
    (_LAYER + r"final_layer_norm\.(\w+)", r"encoder.layers.\1.norm2.\2"),
    (_LAYER + r"feed_forward\.intermediate_dense\.(\w+)", r"encoder.layers.\1.feed_forward.w_1.\2"),
    (_LAYER + r"feed_forward\.output_dense\.(\w+)", r"encoder.layers.\1.feed_forward.w_2.\2"),
    (r"quantizer\.codevectors", r"quantizer.vectors"),
    (r"quantizer\.weight_proj\.(\w+)", r"quantizer.scores.\1"),
    (r"project_hid\.(\w+)", r"project_states.\1"),
    (r"project_q\.(\w+)", r"project_targets.\1"),
)
_OUTER = ("wav2vec2.", "hubert.", "wavlm.")


def name_here(name: str) -> str:
    """What the weight that transformers calls `name` is called here; the same name if it is unknown."""
    bare = next((name[len(outer) :] for outer in _OUTER if name.startswith(outer)), name)
    for pattern, here in _NAMES:
        found = re.fullmatch(pattern, bare)
        if found:
            return found.expand(here)
    return name


def from_transformers(weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The weights by the names here, in the shapes here; those that are unknown keep theirs."""
    renamed: Dict[str, Tensor] = {}
    for name, value in weights.items():
        here = name_here(name)
        if here.endswith(".gate_scale"):
            value = value.reshape(-1, 1, 1)
        elif here == "quantizer.vectors":
            num_groups = weights["project_q.weight"].shape[1] // value.shape[2]
            value = value.reshape(num_groups, -1, value.shape[2])
        renamed[here] = value.float()
    return renamed
