"""config.yaml of ESPnet's recognisers of units, as data: vocabularies, and what the shapes of weights do not tell."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import yaml

from icefall_discrete.base.json_files import as_json, json_name
from icefall_discrete.base.text_files import read_text

_MAX_BYTES, _MAX_SHOWN = 2**25, 60
# Kinds of the parts, and settings of each that change what comes out without a trace in the weights, with what ESPnet
# takes where the file is silent: (default, what can be taken over).
_KINDS = {
    "model": (None, "discrete_asr"),
    "frontend": ("embed", "embed"),
    "encoder": (None, "e_branchformer"),
    "decoder": (None, "transformer"),
    "preencoder": (None, None),
    "postencoder": (None, None),
    "token_type": ("bpe", "bpe"),
    "src_token_type": ("bpe", "bpe"),
}
_WITHOUT_TRACE: Dict[str, Dict[str, Tuple[Any, Any]]] = {
    "model_conf": {"patch_size": (1, 1)},
    "encoder_conf": {
        "attention_layer_type": ("rel_selfattn", "rel_selfattn"),
        "pos_enc_layer_type": ("rel_pos", "rel_pos"),
        "rel_pos_type": ("latest", "latest"),
        "gate_activation": ("identity", "identity"),
        "ffn_activation_type": ("swish", "swish"),
        "positionwise_layer_type": ("linear", "linear"),
        "zero_triu": (False, False),
        "interctc_use_conditioning": (False, False),
    },
    "decoder_conf": {
        "input_layer": ("embed", "embed"),
        "normalize_before": (True, True),
        "concat_after": (False, False),
        "use_output_layer": (True, True),
    },
}
STRIDES = {"conv1d1": 1, "conv1d2": 2, "conv1d3": 3}
_TOKEN_LISTS = ("token_list", "src_token_list")


@dataclasses.dataclass(frozen=True)
class EspnetConfig:
    """What the conversion needs of config.yaml.

    tokens, source_tokens: the lists. stride: of the front end. bpe_model, unit_bpe_model: paths as they were on the
    machine of the training, or "". decoder_heads, ctc_weight, label_smoothing: as there. dropouts: the parts' settings
    of this kind, by "encoder", "decoder" and "frontend".
    """

    tokens: List[str]
    source_tokens: List[str]
    stride: int
    bpe_model: str
    unit_bpe_model: str
    decoder_heads: int
    ctc_weight: float
    label_smoothing: float
    dropouts: Dict[str, Dict[str, float]]


def read_config(path: Path) -> EspnetConfig:
    """Read config.yaml; nothing in it is run.

    Raises:
      FileNotFoundError: if it does not exist. ValueError: if it is no such file, or of a model of another kind; the
        setting is named.
    """
    values = _read_yaml(path)
    parts = {name: _part(values, name, path) for name in ("frontend_conf", *_WITHOUT_TRACE)}
    for name, (default, wanted) in _KINDS.items():
        _require(values, name, default, wanted, path)
    for part, settings in _WITHOUT_TRACE.items():
        for name, (default, wanted) in settings.items():
            _require(parts[part], name, default, wanted, path, f"{part}.")
    layer = parts["encoder_conf"].get("input_layer", "conv2d")
    if not isinstance(layer, str) or layer not in STRIDES:
        raise ValueError(f"{path}: encoder_conf.input_layer is {_shown(layer)}, expected one of {', '.join(STRIDES)}.")
    tokens, source_tokens = (_token_list(values, name, path) for name in _TOKEN_LISTS)
    heads = parts["decoder_conf"].get("attention_heads", 4)
    if type(heads) is not int or heads < 1:
        raise ValueError(f"{path}: decoder_conf.attention_heads is {_shown(heads)}, expected a number of heads.")
    return EspnetConfig(
        tokens,
        source_tokens,
        STRIDES[layer],
        _text(values, "bpemodel"),
        _text(values, "src_bpemodel"),
        heads,
        _share(parts["model_conf"], "ctc_weight", 0.5, path),
        _share(parts["model_conf"], "lsm_weight", 0.0, path),
        {name: _dropouts(parts[f"{name}_conf"], path) for name in ("frontend", "encoder", "decoder")},
    )


def found_above(config: Path, given: str, named: str, flag: str) -> Path:
    """The file that was `given`, or else the one that `config` calls `named`, in one of the folders above it.

    Raises FileNotFoundError, naming the flag, if there is none.
    """
    if given:
        return Path(given)
    places = [folder / named for folder in config.resolve().parents] if named else []
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{config} names '{named}', which is in no folder above it; say where with {flag}.")
    return found


def _read_yaml(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the config.yaml that lies beside the checkpoint.")
    advice = "give the config.yaml that ESPnet wrote beside the checkpoint"
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} has more than {_MAX_BYTES} bytes; {advice}.")
    text = read_text(path)
    try:
        # All is to be written out: with references a small file could become as large as it likes.
        reference = next((token for token in yaml.scan(text) if isinstance(token, yaml.AliasToken)), None)
        if reference is not None:
            raise yaml.YAMLError(f"it refers to another place with *{reference.value}")
        values = yaml.safe_load(text)
    except RecursionError:
        raise ValueError(f"{path} is too deep to be settings; {advice}.") from None
    except (yaml.YAMLError, ArithmeticError, ValueError) as error:  # the latter of numbers and dates that are none
        raise ValueError(f"{path} is not YAML of plain values ({' '.join(str(error).split())}); {advice}.") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no settings; {advice}.")
    return values


def _shown(value: Any) -> str:
    """A value for a message, or what it is if that is long."""
    text = as_json(value) if value is None or isinstance(value, (str, bool, int, float)) else json_name(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def _part(values: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    part = values.get(name)
    if not isinstance(part, dict) and part is not None:
        raise ValueError(f"{path}: {name} is no list of settings; give the config.yaml that ESPnet wrote.")
    return part or {}


def _require(values: Mapping[str, Any], name: str, default: Any, wanted: Any, path: Path, within: str = "") -> None:
    value = values.get(name, default)
    if value != wanted:
        raise ValueError(
            f"{path}: {within}{name} is {_shown(value)}, but only {_shown(wanted)} can be taken over; convert an "
            "E-Branchformer recogniser of units with pieces (recipes called asr2)."
        )


def _token_list(values: Mapping[str, Any], name: str, path: Path) -> List[str]:
    tokens = values.get(name)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{path} has no list of tokens called {name}; give the config.yaml that ESPnet wrote.")
    return tokens


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _share(values: Mapping[str, Any], name: str, default: float, path: Path) -> float:
    value = values.get(name, default)
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"{path}: {name} is {_shown(value)}, expected a number from 0 to 1.")
    return float(value)


def _dropouts(values: Mapping[str, Any], path: Path) -> Dict[str, float]:
    names = [name for name in values if isinstance(name, str) and name.endswith("dropout_rate")]
    return {name: _share(values, name, 0.0, path) for name in names}
