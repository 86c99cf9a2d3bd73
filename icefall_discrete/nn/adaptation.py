"""Adapters and LoRA: a few weights that learn within an encoder that keeps the ones it has.

Adapters, https://arxiv.org/abs/1902.00751, are narrow layers beside the way through a layer; LoRA,
https://arxiv.org/abs/2106.09685, is a change of low rank to the matrix of a linear layer, which can be added to it when
all is learnt. Both change nothing before the first step. Letters: N utterances, T frames, D dimension, r rank.
"""

import dataclasses
import fnmatch
import math
from typing import Collection, Dict, List, Mapping, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.scaling import swoosh_l

# Of the Zipformer the layers that icefall's recipe changes, of the attention encoders those of the same parts.
LORA_LAYERS = (
    "*.attention_weights.in_proj",
    "*.self_attention?.in_proj",
    "*.feed_forward?.in_proj",
    "*.feed_forward?.out_proj",
    "*.linear_[qkv]",
    "*.w_[12]",
)
_WEIGHT = "weight"
_WIDEST = 4096  # adapters and changes are narrow; what is wider than most layers is a slip, and fills the memory
_PLACE = "adapter_"  # what a layer calls its places for adapters
_KEPT = f".parametrizations.{_WEIGHT}.original"
_CHANGE = f".parametrizations.{_WEIGHT}.0."


@dataclasses.dataclass(frozen=True)
class AdaptationConfig:
    """What learns within an encoder whose own weights are kept; nothing by default."""

    adapter_dim: int = setting(
        0,
        "size of the adapters' narrow layers, several adapters in each layer; 0: none; icefall: 16",
        minimum=0,
        maximum=_WIDEST,
    )
    lora_r: int = setting(
        0, "rank of the change to the matrices of linear layers (LoRA); 0: no change", minimum=0, maximum=_WIDEST
    )
    lora_alpha: float = setting(4.0, "the change is multiplied by lora_alpha / lora_r; icefall: 4", above=0)
    lora_dropout: float = setting(
        0.0,
        "dropout rate of what the change, but not the layer, is given in training; SpeechGPT: 0.05",
        minimum=0,
        maximum=0.99,
    )
    lora_layers: Tuple[str, ...] = setting(
        LORA_LAYERS, "which linear layers of the encoder change: patterns of their names, such as *.linear_q"
    )

    @property
    def is_on(self) -> bool:
        """Whether there is anything of it."""
        return self.adapter_dim > 0 or self.lora_r > 0


class AdapterPlace(nn.Module):
    """A place for an adapter within a layer: gives x (N, T, D) as it is.

    Args:
      dim: D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Adapter(nn.Module):
    """x + linear(SwooshL(linear(x))) with a narrow middle, as in icefall's zipformer_adapter.

    The second layer begins with zeros, so that the encoder begins as it was.

    Args:
      dim: D of x (N, T, D). narrow_dim: size of the middle.
    """

    def __init__(self, dim: int, narrow_dim: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, narrow_dim)
        self.out_proj = nn.Linear(narrow_dim, dim)
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""
        return x + self.out_proj(swoosh_l(self.in_proj(x)))


class LowRankChange(nn.Module):
    """A matrix (out, in) plus up (out, r) down (r, in) times a scale; `up` begins with zeros, as in icefall.

    With dropout the layer gives in training W x + scale up down dropout(x), as peft's LoRA does, but for the last bits.

    Args:
      layer: whose matrix changes. config: r, r times the scale, the rate of dropout.
    """

    scale: Tensor

    def __init__(self, layer: nn.Module, config: AdaptationConfig) -> None:
        super().__init__()
        weight, rank = layer.get_parameter(_WEIGHT), config.lora_r
        self.down = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.register_buffer("scale", torch.tensor(config.lora_alpha / rank))
        self.dropout = nn.Dropout(config.lora_dropout)
        self._hook = layer.register_forward_hook(self._with_dropout) if config.lora_dropout else None

    def forward(self, weight: Tensor) -> Tensor:
        """The changed matrix."""
        with torch.autocast(weight.device.type, enabled=False):  # as precise as what it is added to
            return _changed(weight, self.up, self.down, self.scale)

    def _with_dropout(self, layer: nn.Module, inputs: Tuple[Tensor], output: Tensor) -> Tensor:
        """What the layer gives; its matrix has the change, so that only what dropout does to the input is missing."""
        if not self.training:
            return output
        (x,) = inputs
        return output + F.linear(F.linear(self.dropout(x) - x, self.down), self.up) * self.scale

    def leave(self) -> None:
        """Let the layer be as if there had been no dropout."""
        if self._hook is not None:
            self._hook.remove()


def _changed(weight: Tensor, up: Tensor, down: Tensor, scale: Tensor) -> Tensor:
    return weight + (up @ down) * scale


def adapt(encoder: nn.Module, config: AdaptationConfig) -> None:
    """Put adapters and changes of low rank into an encoder.

    Raises:
      ValueError: if it has no place for them; the message names what there is.
    """
    if config.adapter_dim:
        places = [name for name, part in encoder.named_modules() if isinstance(part, AdapterPlace)]
        if not places:
            raise ValueError(
                f"adapter_dim is {config.adapter_dim}, but the encoder {type(encoder).__name__} has no places for "
                "adapters; set it to 0, and lora_r above 0 for an encoder with linear layers."
            )
        for name in places:
            parent, _, own = name.rpartition(".")
            place = encoder.get_submodule(name)
            assert isinstance(place, AdapterPlace)
            setattr(encoder.get_submodule(parent), own, Adapter(place.dim, config.adapter_dim))
    if config.lora_r:
        for layer in _layers_to_change(encoder, config):
            parametrize.register_parametrization(layer, _WEIGHT, LowRankChange(layer, config))


def _layers_to_change(encoder: nn.Module, config: AdaptationConfig) -> List[nn.Module]:
    matrices = {
        name: part
        for name, part in encoder.named_modules()
        if isinstance(getattr(part, _WEIGHT, None), nn.Parameter) and getattr(part, _WEIGHT).dim() == 2
    }
    found = {}
    for pattern in config.lora_layers:
        matching = fnmatch.filter(matrices, pattern)
        if not matching and config.lora_layers != LORA_LAYERS:
            shown = ", ".join(sorted({f"*.{'.'.join(name.split('.')[-2:])}" for name in matrices})[:8]) or "none"
            raise ValueError(f"lora_layers: no linear layer of the encoder is named {pattern}; such are {shown}.")
        found.update({name: matrices[name] for name in matching})
    if not found:
        raise ValueError(
            f"lora_r is {config.lora_r}, but the encoder {type(encoder).__name__} has none of the linear layers that "
            "lora_layers names by default; name its own, or set lora_r to 0."
        )
    others = [name for name, part in found.items() if config.lora_dropout and not isinstance(part, nn.Linear)]
    if others:
        raise ValueError(
            f"lora_dropout is {config.lora_dropout:g}, but {others[0]} of the encoder is more than a linear layer, so "
            "that what its matrix is given is not seen; leave it out of lora_layers, or set lora_dropout to 0."
        )
    return [found[name] for name in matrices if name in found]


def changes_of(module: nn.Module) -> List[nn.Module]:
    """Its adapters and changes of low rank."""
    return [part for part in module.modules() if isinstance(part, (Adapter, LowRankChange))]


def merge_changes(module: nn.Module) -> None:
    """Add the changes of low rank to the matrices; outputs stay as they are, bit for bit, but for dropout."""
    for part in list(module.modules()):
        if isinstance(part, LowRankChange):
            part.leave()
        if parametrize.is_parametrized(part, _WEIGHT):
            parametrize.remove_parametrizations(part, _WEIGHT)


def merged_weights(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """A state dict with the changes of low rank added: that of the same network without such changes."""
    merged = {}
    for name, value in state.items():
        layer = name[: -len(_KEPT)]
        if name.endswith(_KEPT):
            up, down, scale = (state[f"{layer}{_CHANGE}{part}"] for part in ("up", "down", "scale"))
            merged[f"{layer}.{_WEIGHT}"] = _changed(value, up, down, scale)
        elif _CHANGE not in name:
            merged[name] = value
    return merged


def is_of_change(name: str) -> bool:
    """Whether a parameter of a network, by its name, is one of an adapter or of a change of low rank."""
    return _CHANGE in name or any(part.startswith(_PLACE) for part in name.split("."))


def plain_name(name: str) -> str:
    """What a weight of a network with changes of low rank is called in the same network without them."""
    return f"{name[: -len(_KEPT)]}.{_WEIGHT}" if name.endswith(_KEPT) else name


def names_of_changes(network: nn.Module) -> Collection[str]:
    """Names, in the network's state dict, of what adapters and changes of low rank hold."""
    return {
        f"{name}.{own}"
        for name, part in network.named_modules()
        if isinstance(part, (Adapter, LowRankChange))
        for own in part.state_dict()
    }


def freeze(network: nn.Module, parts: Collection[str]) -> None:
    """Let the weights of the network's `parts` be as they are, but for adapters and changes of low rank in them."""
    changing = names_of_changes(network)
    for name, value in network.named_parameters():
        if name.partition(".")[0] in parts and name not in changing:
            value.requires_grad_(False)


def hold_still(part: nn.Module) -> None:
    """Put a part that does not learn into evaluation mode, but for what learns within it.

    It goes on to draw sizes of chunks, if it does.
    """
    part.eval()
    for change in changes_of(part):
        change.train()
    part.training = bool(getattr(getattr(part, "config", None), "causal", False))
