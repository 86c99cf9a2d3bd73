"""A recogniser of ESPnet under our names: encoder and front end, CTC head, attention decoder; rows in our order.

Names of encoder and front end are those of nn/attention/espnet_names.py, those of the decoder stand in nn/README.md.
"""

import re
from typing import Dict, Mapping, NamedTuple, Sequence

from torch import Tensor

from icefall_discrete.nn.attention import espnet_names

SOURCE_TABLE = "frontend.embed.0.weight"
# Weights with a row for each token of the text, under our names.
_OF_LABELS = {
    "ctc.ctc_lo.weight": "ctc_output.weight",
    "ctc.ctc_lo.bias": "ctc_output.bias",
    "decoder.embed.0.weight": "attention_decoder.embedding.weight",
    "decoder.output_layer.weight": "attention_decoder.output.weight",
    "decoder.output_layer.bias": "attention_decoder.output.bias",
}
_DECODER = (
    (re.compile(r"^decoder\.decoders\."), "attention_decoder.layers."),
    (re.compile(r"^decoder\.after_norm\."), "attention_decoder.norm."),
)
_IN_LAYER = {
    ".self_attn.": ".self_attention.",
    ".src_attn.": ".source_attention.",
    ".feed_forward.w_1.": ".expand.",
    ".feed_forward.w_2.": ".contract.",
    ".norm1.": ".norm_self.",
    ".norm2.": ".norm_source.",
    ".norm3.": ".norm_feedforward.",
}


class Vocabularies(NamedTuple):
    """Places in ESPnet's token lists of each of our codes and of each of our labels, and the sizes of the lists."""

    codes: Sequence[int]
    labels: Sequence[int]
    num_source_tokens: int
    num_tokens: int


def _our_name(name: str) -> str:
    ours = name
    for pattern, replacement in _DECODER:
        ours = pattern.sub(replacement, ours)
    if ours != name:
        for theirs, our in _IN_LAYER.items():
            ours = ours.replace(theirs, our)
    return ours


def from_espnet(weights: Mapping[str, Tensor], vocabularies: Vocabularies, where: str) -> Dict[str, Tensor]:
    """The weights of the checkpoint `where` under our names; what is not known keeps its name.

    Raises:
      ValueError: if one has another number of rows than there are tokens.
    """
    sizes = {SOURCE_TABLE: (vocabularies.num_source_tokens, "src_token_list")}
    sizes.update(dict.fromkeys(_OF_LABELS, (vocabularies.num_tokens, "token_list")))
    for name, (size, of_list) in sizes.items():
        if name in weights and weights[name].shape[:1] != (size,):
            raise ValueError(
                f"{where}: '{name}' is {tuple(weights[name].shape)}, but {of_list} of the configuration has {size} "
                "tokens; give the config.yaml that was written when it was trained."
            )
    found: Dict[str, Tensor] = {}
    for name, value in weights.items():
        if name in _OF_LABELS:
            found[_OF_LABELS[name]] = value[list(vocabularies.labels)]
        else:
            found[_our_name(name)] = value[list(vocabularies.codes)] if name == SOURCE_TABLE else value
    return espnet_names.from_espnet(found)
