"""Weights of RoBERTa by the names that fairseq gives them, and here; rows of tables stay as they are."""

import re
from typing import Dict, Mapping, Tuple

from torch import Tensor

# What stands before the names of the transformer in checkpoints before fairseq 0.9 and since.
_ENCODER = r"(?:de|en)coder\.sentence_encoder\."
_LAYER = _ENCODER + r"layers\.(\d+)\."
_NAMES: Tuple[Tuple[str, str], ...] = (
    (_ENCODER + r"embed_tokens\.weight", "tokens"),
    (_ENCODER + r"embed_positions\.weight", "positions"),
    (_ENCODER + r"(?:emb_layer_norm|layernorm_embedding)\.(\w+)", r"encoder.norm.\1"),
    (_LAYER + r"self_attn\.([qkv]|out)_proj\.(\w+)", r"encoder.layers.\1.self_attn.linear_\2.\3"),
    (_LAYER + r"self_attn_layer_norm\.(\w+)", r"encoder.layers.\1.norm1.\2"),
    (_LAYER + r"fc([12])\.(\w+)", r"encoder.layers.\1.feed_forward.w_\2.\3"),
    (_LAYER + r"final_layer_norm\.(\w+)", r"encoder.layers.\1.norm2.\2"),
    (r"(?:de|en)coder\.lm_head\.dense\.(\w+)", r"head.dense.\1"),
    (r"(?:de|en)coder\.lm_head\.layer_norm\.(\w+)", r"head.norm.\1"),
    (r"(?:de|en)coder\.lm_head\.(weight|bias)", r"head.out.\1"),
)
_TOGETHER = re.compile(_LAYER + r"self_attn\.in_proj_(weight|bias)")


def is_roberta(weights: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has fairseq's names of RoBERTa."""
    return any(re.match(_ENCODER, name) for name in weights)


def from_fairseq(weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The weights by the names here, in float32: `tokens` and `positions` are fairseq's tables, row by row.

    Those that are unknown keep their names.
    """
    renamed: Dict[str, Tensor] = {}
    for name, value in weights.items():
        together = _TOGETHER.fullmatch(name)
        if together:
            layer, kind = together.groups()
            for part, rows in zip("qkv", value.float().chunk(3)):
                renamed[f"encoder.layers.{layer}.self_attn.linear_{part}.{kind}"] = rows
            continue
        found = ((re.fullmatch(pattern, name), here) for pattern, here in _NAMES)
        renamed[next((match.expand(here) for match, here in found if match), name)] = value.float()
    return renamed
