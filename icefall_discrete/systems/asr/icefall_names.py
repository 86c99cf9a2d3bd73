"""Checkpoints of icefall's zipformer recipe under our names, and back; the layout is read from the weights' shapes.

Our names are those of transducer.py: front_end (conv2d), encoder, predictor, joiner, simple_am_proj,
simple_lm_proj, ctc_output.
"""

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.nn.front_ends.conv2d import CHANNELS as CONV2D_CHANNELS

Rules = Sequence[Tuple[str, str]]

# Beginnings of names, (icefall's, ours); the first that fits is taken, so longer ones stand above shorter ones.
_MODEL: Rules = (
    ("encoder_embed.conv.0.", "front_end.conv1."),
    ("encoder_embed.conv.4.", "front_end.conv2."),
    ("encoder_embed.conv.7.", "front_end.conv3."),
    ("encoder_embed.convnext.depthwise_conv.", "front_end.conv_next.depthwise."),
    ("encoder_embed.convnext.pointwise_conv1.", "front_end.conv_next.up."),
    ("encoder_embed.convnext.pointwise_conv2.", "front_end.conv_next.down."),
    ("encoder_embed.", "front_end."),
    ("encoder.downsample_output.", "encoder.output_downsample."),
    ("decoder.", "predictor."),
    ("ctc_output.1.", "ctc_output."),
)
_STACK: Rules = (("downsample.", "downsample."), ("out_combiner.bypass_scale", "bypass.scale"))
_LAYER: Rules = (
    ("self_attn_weights.", "attention_weights."),
    ("self_attn1.", "self_attention1."),
    ("self_attn2.", "self_attention2."),
    ("bypass.bypass_scale", "bypass.scale"),
    ("bypass_mid.bypass_scale", "bypass_middle.scale"),
    *(
        (f"conv_module{index}.{theirs}", f"convolution{index}.{ours}")
        for index in (1, 2)
        for theirs, ours in (
            ("depthwise_conv.causal_conv.", "depthwise.causal."),
            ("depthwise_conv.chunkwise_conv.", "depthwise.chunkwise."),
            ("depthwise_conv.chunkwise_conv_scale", "depthwise.edge_scale"),
            ("depthwise_conv.", "depthwise."),
            ("", ""),
        )
    ),
)
_THEIR_STACK = re.compile(r"encoder\.encoders\.(\d+)\.(?:encoder\.)?(.*)")
_OUR_STACK = re.compile(r"encoder\.stacks\.(\d+)\.(.*)")
_IN_LAYER = re.compile(r"layers\.(\d+)\.(.*)")
# A parameter of every layer that icefall's own code never reads, and the value it keeps.
_UNUSED, _UNUSED_VALUE = "bypass_scale", 0.5


def _rename(name: str, rules: Rules, source: int) -> str:
    for rule in rules:
        if name.startswith(rule[source]):
            return rule[1 - source] + name[len(rule[source]) :]
    return name


def _rename_in_stack(rest: str, source: int) -> str:
    layer = _IN_LAYER.fullmatch(rest)
    if layer:
        return f"layers.{layer.group(1)}.{_rename(layer.group(2), _LAYER, source)}"
    return _rename(rest, _STACK, source)


def our_name(name: str) -> Optional[str]:
    """Return our name of icefall's parameter `name`, or None if it is one that nothing reads."""
    found = _THEIR_STACK.fullmatch(name)
    if not found:
        return _rename(name, _MODEL, 0)
    stack, rest = found.groups()
    layer = _IN_LAYER.fullmatch(rest)
    if layer and layer.group(2) == _UNUSED:
        return None
    return f"encoder.stacks.{stack}.{_rename_in_stack(rest, 0)}"


def _their_name(name: str, factors: List[int]) -> str:
    found = _OUR_STACK.fullmatch(name)
    if not found:
        return _rename(name, _MODEL, 1)
    stack, rest = found.groups()
    inner = "encoder." if factors[int(stack)] > 1 and rest.startswith("layers.") else ""
    return f"encoder.encoders.{stack}.{inner}{_rename_in_stack(rest, 1)}"


def _is_pointwise(name: str) -> bool:
    return name in ("front_end.conv_next.up.weight", "front_end.conv_next.down.weight")


def _our_value(name: str, value: Tensor) -> Tensor:
    """Our linear layers stand for 1 x 1 convolutions, and the front end's output reads bins first, channels last."""
    if _is_pointwise(name):
        return value.flatten(1)
    if name == "front_end.out.weight":
        return value.view(value.shape[0], CONV2D_CHANNELS[-1], -1).transpose(1, 2).flatten(1)
    return value


def _their_value(name: str, value: Tensor) -> Tensor:
    if _is_pointwise(name):
        return value[:, :, None, None]
    if name == "front_end.out.weight":
        return value.view(value.shape[0], -1, CONV2D_CHANNELS[-1]).transpose(1, 2).flatten(1)
    return value


def is_icefalls(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has icefall's names."""
    return any(name.startswith(("encoder_embed.", "encoder.encoders.")) for name in state)


def from_icefall(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Return icefall's state dict under our names and in our shapes; parameters that nothing reads are left out."""
    renamed = {our_name(name): name for name in state}
    return {ours: _our_value(ours, state[theirs]) for ours, theirs in renamed.items() if ours is not None}


def to_icefall(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Return our state dict under icefall's names and in its shapes, with the parameters that nothing reads."""
    factors = _downsampling_factors(state)
    theirs = {_their_name(name, factors): _their_value(name, value) for name, value in state.items()}
    for name in list(theirs):
        if name.endswith(".bypass.bypass_scale"):
            theirs[name.replace(".bypass.", ".")] = torch.full_like(theirs[name], _UNUSED_VALUE)
    return theirs


def _num_layers(state: Mapping[str, Tensor]) -> List[int]:
    """Number of layers of each stack of our state dict."""
    counts: Dict[int, int] = {}
    for name in state:
        found = re.match(r"encoder\.stacks\.(\d+)\.layers\.(\d+)\.", name)
        if found:
            stack, layer = map(int, found.groups())
            counts[stack] = max(counts.get(stack, 0), layer + 1)
    if not counts:
        raise ValueError("no encoder layers in the state dict; expected a checkpoint of a Zipformer transducer.")
    return [counts[stack] for stack in range(len(counts))]


def _factor(state: Mapping[str, Tensor], name: str) -> int:
    return state[name].numel() if name in state else 1


def _downsampling_factors(state: Mapping[str, Tensor]) -> List[int]:
    return [_factor(state, f"encoder.stacks.{index}.downsample.bias") for index in range(len(_num_layers(state)))]


def inferred_settings(state: Mapping[str, Tensor], pos_head_dim: int = 4) -> Dict[str, Any]:
    """Read the model's settings from the shapes of a state dict under our names.

    The number of heads shows only as a product with head dimensions, so `pos_head_dim` must be known (icefall's
    recipes all use 4). What leaves no trace in the weights (unmasked dimensions, chunk sizes, schedules) is absent.
    """
    num_layers = _num_layers(state)
    settings: Dict[str, Any] = {
        "downsampling_factor": tuple(_downsampling_factors(state)),
        "num_encoder_layers": tuple(num_layers),
        "output_downsampling_factor": _factor(state, "encoder.output_downsample.bias"),
    }
    prefixes = [f"encoder.stacks.{index}.layers.0." for index in range(len(num_layers))]
    stacks = [_stack_settings(state, prefix, pos_head_dim) for prefix in prefixes]
    for name in stacks[0]:
        settings[name] = tuple(stack[name] for stack in stacks)
    settings["pos_dim"] = settings["pos_dim"][0]
    settings["causal"] = any(".depthwise.edge_scale" in name for name in state)
    if "predictor.embedding.weight" in state:
        settings["vocab_size"], settings["decoder_dim"] = state["predictor.embedding.weight"].shape
        conv = state.get("predictor.conv.weight")
        settings["context_size"] = 1 if conv is None else conv.shape[2]
    if "joiner.encoder_proj.weight" in state:
        settings["joiner_dim"] = state["joiner.encoder_proj.weight"].shape[0]
    return settings


def _stack_settings(state: Mapping[str, Tensor], prefix: str, pos_head_dim: int) -> Dict[str, int]:
    positional, pos_dim = state[prefix + "attention_weights.linear_pos.weight"].shape
    heads = positional // pos_head_dim
    kernel = state.get(prefix + "convolution1.depthwise.chunkwise.weight")
    kernel = state[prefix + "convolution1.depthwise.weight"] if kernel is None else kernel
    in_proj = state[prefix + "attention_weights.in_proj.weight"]
    return {
        "encoder_dim": in_proj.shape[1],
        "num_heads": heads,
        "query_head_dim": (in_proj.shape[0] - positional) // (2 * heads),
        "pos_head_dim": pos_head_dim,
        "value_head_dim": state[prefix + "self_attention1.in_proj.weight"].shape[0] // heads,
        "feedforward_dim": state[prefix + "feed_forward2.in_proj.weight"].shape[0],
        "cnn_module_kernel": kernel.shape[2],
        "pos_dim": pos_dim,
    }
