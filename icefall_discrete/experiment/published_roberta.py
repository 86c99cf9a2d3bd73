"""Published RoBERTa over codes, for trainings that begin with its weights: fairseq's checkpoints, and s3prl's of them.

fairseq publishes a folder with one `.pt` file and `dict.txt`; s3prl puts both into one file, with the keys task_cfg,
model_cfg, model_weight and text_dictionary. Both are read as data. Rows of their tables are those of the dictionary;
here they are those of the feature type, whose vocabulary has to be the same (tokenizer `joint_codes`).
"""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import torch
from torch import Tensor

from icefall_discrete.base.guarded_pickle import plain, tensors_of
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.text_files import lines_in
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder
from icefall_discrete.nn.encoders.roberta import RobertaConfig
from icefall_discrete.nn.encoders.roberta.fairseq_names import from_fairseq, is_roberta
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.tokenizers.formats.code_dictionary import (
    OWN_SYMBOLS,
    CodeDictionary,
    parse_dictionary,
    read_dictionary,
)
from icefall_discrete.tokenizers.joint_codes import DICTIONARY_FILE, symbols_sha256

# fairseq's positions are counted from behind that of padding.
_FIRST_POSITION = OWN_SYMBOLS.index("<pad>") + 1
_BEGIN, _END = OWN_SYMBOLS.index("<s>"), OWN_SYMBOLS.index("</s>")
# Settings that would make something else of the same weights, with what they are here.
_AS_HERE = {"activation_fn": "gelu", "encoder_normalize_before": False, "untie_weights_roberta": False}
_CONVERTED = ("model_cfg", "model_weight", "text_dictionary")


class PublishedRoberta(NamedTuple):
    """weights: by the names here, with fairseq's tables. settings: of its training. dictionary: of its symbols."""

    weights: Dict[str, Tensor]
    settings: Mapping[str, Any]
    dictionary: CodeDictionary


def checkpoint_of(folder: Path) -> Optional[Path]:
    """The checkpoint of a folder as fairseq publishes it: with a dictionary and one `.pt` file; None if it is none."""
    found = sorted(folder.glob("*.pt")) if (folder / DICTIONARY_FILE).is_file() else []
    return found[0] if len(found) == 1 else None


def published_roberta(checkpoint: Any, path: Path) -> Optional[PublishedRoberta]:
    """What a checkpoint that was read from `path` holds, if it is a RoBERTa of codes.

    Raises:
      FileNotFoundError: if there is no dictionary beside it. ValueError: if it has no settings, or is damaged.
    """
    if not isinstance(checkpoint, Mapping):
        return None
    if all(key in checkpoint for key in _CONVERTED):
        weights, settings = checkpoint["model_weight"], checkpoint["model_cfg"]
        text = checkpoint["text_dictionary"]
        if not isinstance(text, str):
            raise ValueError(f"{path}: text_dictionary is no text; give the checkpoint as it was published.")
        dictionary = parse_dictionary(lines_in(text), f"{path}, text_dictionary")
    else:
        weights, settings = checkpoint.get("model"), checkpoint.get("args") or checkpoint.get("cfg")
        if not isinstance(weights, Mapping) or not is_roberta(weights):
            return None
        beside = path.parent / DICTIONARY_FILE
        if not beside.is_file():
            raise FileNotFoundError(f"{path} is a RoBERTa, but {beside} is missing; put its dictionary there.")
        dictionary = read_dictionary(beside)
    read = plain(settings)
    inner = read.get("model") if isinstance(read, dict) else None
    read = inner if isinstance(inner, dict) else read
    if not isinstance(read, dict):
        raise ValueError(f"{path} does not say how its model was trained (args); give it as it was published.")
    return PublishedRoberta(from_fairseq(tensors_of(weights, str(path))), read, dictionary)


def _require_same_shape(config: RobertaConfig, published: PublishedRoberta, where: str) -> None:
    """Raise ValueError where the encoder would do something else with the weights, though their shapes fit."""
    theirs = published.settings
    for name, here in _AS_HERE.items():
        if theirs.get(name, here) != here:
            raise ValueError(f"{where} was trained with {name} {theirs[name]}, which is not known here, but {here}.")
    heads = theirs.get("encoder_attention_heads", config.num_heads)
    places = len(published.weights["positions"]) - _FIRST_POSITION
    for name, own, there in (("num_heads", config.num_heads, heads), ("max_positions", config.max_positions, places)):
        if own != there:
            raise ValueError(
                f"{where} has {name} {there}, here it is {own}; set --model.encoder.{name.replace('_', '-')} {there}."
            )


def weights_for(network: FrameNetwork, published: PublishedRoberta, spec: FeatureSpec, where: str) -> Dict[str, Tensor]:
    """Its weights as the network has them, with the rows of the codes of `spec`.

    Raises:
      ValueError: for another encoder, and for codes of another vocabulary.
    """
    config = network.config.encoder if isinstance(network, AcousticEncoder) else None
    if not isinstance(config, RobertaConfig):
        raise ValueError(f"{where} is a RoBERTa; take --model-size roberta_base, or another with encoder roberta.")
    for table in ("tokens", "positions"):
        if table not in published.weights:
            raise ValueError(f"{where} has no table of {table}; give the checkpoint as it was published.")
    _require_same_shape(config, published, where)
    symbols = published.dictionary.codes
    if spec.provenance.get("symbols_sha256") != symbols_sha256(symbols):
        raise ValueError(
            f"{where} knows {len(symbols)} pairs of codes by its {DICTIONARY_FILE}, which are not those of "
            f"'{spec.name}'; take a feature type of tokenizer joint_codes with that file as `dictionary`."
        )
    weights = dict(published.weights)
    tokens, positions = weights.pop("tokens"), weights.pop("positions")
    rows = _rows_of(published.dictionary, len(tokens), where)
    weights["input_embedding.table"] = torch.cat([tokens[rows], tokens.new_zeros(1, tokens.shape[1])])
    weights["mask_vector"] = tokens[published.dictionary.mask_row]
    weights["encoder.positions"] = positions[_FIRST_POSITION:]
    if config.marks:
        weights["encoder.marks"] = tokens[[_BEGIN, _END]]
    scores = weights.pop("head.out.weight", tokens)
    if "head.out.bias" in weights:
        weights.update({"head.out.weight": scores[rows], "head.out.bias": weights["head.out.bias"][rows]})
    return weights


def _rows_of(dictionary: CodeDictionary, num_rows: int, where: str) -> List[int]:
    """Rows of the symbols, the unknown last."""
    rows = [*dictionary.rows, dictionary.unknown_row]
    if dictionary.mask_row >= num_rows:
        raise ValueError(
            f"{where} has vectors of {num_rows} symbols, its dictionary {dictionary.mask_row + 1}; they do not belong "
            "together."
        )
    return rows
