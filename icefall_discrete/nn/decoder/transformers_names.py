"""Causal language models of transformers as ours: the shape from their config.json, weights by their names.

LLaMA, Qwen2 and GPT-2, whose layouts coincide with settings of DecoderConfig; a model of another kind is refused.
"""

from typing import Any, Dict, List, Mapping, Tuple

from torch import Tensor

from icefall_discrete.base.shapes import COUNT, POSITIVE, TEXT, require
from icefall_discrete.nn.decoder.config import DecoderConfig

KINDS = ("llama", "qwen2", "gpt2")
TOKENS, HEAD = "tokens", "head"  # our names of the tables of ids (V, D): what goes in, and what comes out
_ROWS = {
    "norm_attention": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.o_proj",
    "norm_feedforward": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "expand": "mlp.up_proj",
    "contract": "mlp.down_proj",
}
_GPT_ROWS = {
    "norm_attention": "ln_1",
    "out": "attn.c_proj",
    "norm_feedforward": "ln_2",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}
_TRANSPOSED = ("out", "expand", "contract")


def decoder_of(config: Mapping[str, Any], where: str) -> DecoderConfig:
    """The shape of the model that a config.json of transformers describes; `where` is the file.

    Raises:
      ValueError: if it is of another kind, lacks a number, or has something that ours has not.
    """
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ValueError(f"{where}: model_type is {kind!r}, expected one of {', '.join(KINDS)}; give such a model.")
    try:
        return _gpt(config) if kind == "gpt2" else _llama(config, kind)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).rstrip('.')}; give another model.") from None


def _llama(config: Mapping[str, Any], kind: str) -> DecoderConfig:
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")
    require(config, {**dict.fromkeys(sizes, COUNT), "rms_norm_eps": POSITIVE, "hidden_act": TEXT}, "the model")
    turns = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or {}
    for held in (turns, scaling):
        if held.get("rope_type", held.get("type", "default")) != "default":
            raise ValueError("its rotary positions are scaled, which ours are not")
    if config["hidden_act"] != "silu" or config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError("its activation is not silu, or it has biases that ours lack")
    if config.get("head_dim") not in (None, config["hidden_size"] // config["num_attention_heads"]):
        raise ValueError("its heads have another dimension than hidden_size over their number")
    return DecoderConfig(
        dim=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        num_key_heads=int(config.get("num_key_value_heads") or 0),
        feedforward_dim=config["intermediate_size"],
        norm_epsilon=config["rms_norm_eps"],
        rotary_base=float(turns.get("rope_theta") or config.get("rope_theta") or DecoderConfig.rotary_base),
        bias="attention" if kind == "qwen2" else "none",
        context=config["max_position_embeddings"],
        dropout=0.0,
    )


def _gpt(config: Mapping[str, Any]) -> DecoderConfig:
    sizes = ("n_embd", "n_layer", "n_head", "n_positions")
    require(config, {**dict.fromkeys(sizes, COUNT), "layer_norm_epsilon": POSITIVE}, "the model")
    if config.get("activation_function", "gelu_new") != "gelu_new":
        raise ValueError("its activation is not gelu_new")
    return DecoderConfig(
        dim=config["n_embd"],
        num_layers=config["n_layer"],
        num_heads=config["n_head"],
        feedforward_dim=int(config.get("n_inner") or 0),
        norm="layer",
        norm_epsilon=config["layer_norm_epsilon"],
        activation="gelu",
        positions="learned",
        bias="all",
        context=config["n_positions"],
        dropout=float(config.get("resid_pdrop", 0.0)),
    )


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the model's output has the table of its input."""
    return bool(config.get("tie_word_embeddings", config.get("model_type") == "gpt2"))


def decoder_weights(config: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> Dict[str, Tensor]:
    """Weights of a Decoder, and beside them TOKENS and, where it is not tied, HEAD, from a state dict of transformers.

    Raises:
      ValueError: naming the weight that is not there.
    """
    is_gpt = config.get("model_type") == "gpt2"
    shape = decoder_of(config, where)

    def weight(name: str) -> Tensor:
        if name not in state:
            raise ValueError(f"{where}: the weight '{name}' is not there; fetch the model anew.")
        return state[name]

    ours: Dict[str, Tensor] = {}
    for name, theirs in _names(shape, is_gpt):
        turned = is_gpt and name.endswith(tuple(f"{part}.weight" for part in _TRANSPOSED))
        ours[name] = weight(theirs).t() if turned else weight(theirs)
    for number in range(shape.num_layers if is_gpt else 0):
        for kind in ("weight", "bias"):
            parts = weight(f"transformer.h.{number}.attn.c_attn.{kind}").chunk(3, dim=-1)
            for part, value in zip(("query", "key", "value"), parts):
                ours[f"layers.{number}.{part}.{kind}"] = value.t() if kind == "weight" else value
    if not is_tied(config):
        ours[HEAD] = weight("lm_head.weight")
    return ours


def _names(shape: DecoderConfig, is_gpt: bool) -> List[Tuple[str, str]]:
    """Pairs of our names and theirs, but for what GPT-2 keeps joined."""
    if is_gpt:
        ends = [("places.weight", "transformer.wpe.weight"), (TOKENS, "transformer.wte.weight")]
        ends += [(f"norm.{kind}", f"transformer.ln_f.{kind}") for kind in ("weight", "bias")]
        base, rows = "transformer.h", _GPT_ROWS
    else:
        ends = [("norm.weight", "model.norm.weight"), (TOKENS, "model.embed_tokens.weight")]
        base, rows = "model.layers", _ROWS
    found = list(ends)
    for number in range(shape.num_layers):
        for ours, theirs in rows.items():
            biased = is_gpt or (shape.bias == "attention" and ours in ("query", "key", "value"))
            for kind in ("weight", "bias") if biased else ("weight",):
                found.append((f"layers.{number}.{ours}.{kind}", f"{base}.{number}.{theirs}.{kind}"))
    return found
