"""Whisper's encoder, from the weights of a folder of CTranslate2 or of transformers.

Radford et al. 2022, https://arxiv.org/abs/2212.04356. Letters: N utterances, M mel bins, F mel frames (100 Hz), T
states (50 Hz), D dimensions, H heads. Every weight of the encoder is used, and none may be missing.
"""

import dataclasses
import re
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.shapes import COUNT, Shape, require
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.nn.tracing import is_traced
from icefall_discrete.tokenizers.formats.ctranslate2_files import WEIGHTS_FILE, read_ctranslate2
from icefall_discrete.tokenizers.formats.pretrained import REFETCH, Weights, safetensors_files

CTRANSLATE2_KIND, CTRANSLATE2_REVISION = "WhisperSpec", 3
# Our names of a layer's modules, and what CTranslate2 and transformers call them.
_LAYER = {
    "attention_norm": ("self_attention/layer_norm", "self_attn_layer_norm"),
    "attention_out": ("self_attention/linear_1", "self_attn.out_proj"),
    "feed_forward_norm": ("ffn/layer_norm", "final_layer_norm"),
    "feed_forward_in": ("ffn/linear_0", "fc1"),
    "feed_forward_out": ("ffn/linear_1", "fc2"),
}
_WHOLE = ("conv1", "conv2", "layer_norm")  # called the same by all
_KINDS = ("weight", "bias")


@dataclasses.dataclass(frozen=True)
class EncoderSizes:
    """The shape of an encoder."""

    num_mel_bins: int
    max_states: int
    dim: int
    feed_forward_dim: int
    num_heads: int
    num_layers: int


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a norm and beside a residual connection."""

    def __init__(self, sizes: EncoderSizes) -> None:
        """Make it without numbers, which are loaded."""
        super().__init__()
        dim, inner = sizes.dim, sizes.feed_forward_dim
        self.num_heads = sizes.num_heads
        self.attention_norm = nn.LayerNorm(dim)
        # Queries, keys and values by one product; Whisper's keys have no bias, which is 0 here.
        self.attention_in = skip_init(nn.Linear, dim, 3 * dim)
        self.attention_out = skip_init(nn.Linear, dim, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward_in = skip_init(nn.Linear, dim, inner)
        self.feed_forward_out = skip_init(nn.Linear, inner, dim)

    def forward(self, x: Tensor, mask: Optional[Tensor]) -> Tensor:
        """States (N, T, D) to (N, T, D); `mask` (N, 1, 1, T) is true where there is audio, None: everywhere."""
        parts = self.attention_in(self.attention_norm(x)).unflatten(-1, (3, self.num_heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        x = x + self.attention_out(_attend(queries, keys, values, mask).transpose(1, 2).flatten(2))
        inner = functional.gelu(self.feed_forward_in(self.feed_forward_norm(x)))
        return x + self.feed_forward_out(inner)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Optional[Tensor]) -> Tensor:
    """Attention of heads (N, H, T, D / H)."""
    if hasattr(functional, "scaled_dot_product_attention") and not is_traced():  # torch 2
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    scores = torch.matmul(queries * queries.shape[-1] ** -0.5, keys.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.matmul(scores.softmax(dim=-1), values)


class WhisperEncoder(nn.Module):
    """From a log-mel spectrogram to states."""

    def __init__(self, sizes: EncoderSizes) -> None:
        """Make it without numbers, which are loaded."""
        super().__init__()
        self.sizes = sizes
        self.conv1 = skip_init(nn.Conv1d, sizes.num_mel_bins, sizes.dim, 3, padding=1)
        self.conv2 = skip_init(nn.Conv1d, sizes.dim, sizes.dim, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.empty(sizes.max_states, sizes.dim))
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.num_layers))
        self.layer_norm = nn.LayerNorm(sizes.dim)

    def forward(self, mel: Tensor, layers: Sequence[int]) -> Tensor:
        """States (T, L D) of a spectrogram (M, F), T = ceil(F / 2), at most `max_states`.

        layers: L layers whose outputs are taken side by side, from 1, as they are; 0: the last one's, normalised.
        """
        return self.together(mel[None], layers, None)[0]

    def together(self, mel: Tensor, layers: Sequence[int], mask: Optional[Tensor]) -> Tensor:
        """States (N, T, L D) of spectrograms (N, M, F), of which each is 0 behind its end, as if it were alone.

        mask: (N, 1, 1, T), true for states that each has when alone, of which those behind are told nothing; None: all
        are as long. What is given for states behind an end means nothing.
        """
        x = functional.gelu(self.conv1(mel))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        # Positions are absolute, so that the first ones serve short input.
        x = x + self.positions[: x.shape[1]]
        outputs: Dict[int, Tensor] = {}
        for number, one in enumerate(self.layers[: _depth(layers, len(self.layers))], start=1):
            outputs[number] = x = one(x, mask)
        return torch.cat([outputs[layer] if layer else self.layer_norm(x) for layer in layers], dim=2)


def _depth(layers: Sequence[int], num_layers: int) -> int:
    """How many layers have to be computed."""
    return num_layers if 0 in layers else max(layers)


def read_whisper_encoder(folder: Path, layers: Sequence[int]) -> WhisperEncoder:
    """The encoder of a folder, in float32 on the CPU; layers above all `layers` (0: the end) are read and not kept.

    Raises ValueError or FileNotFoundError, naming the file, for what is damaged, missing, not understood or no Whisper.
    """
    is_ctranslate2 = (folder / WEIGHTS_FILE).is_file()
    weights, num_heads = _of_ctranslate2(folder / WEIGHTS_FILE) if is_ctranslate2 else _of_transformers(folder)
    try:
        sizes = _sizes(weights, num_heads)
        for layer in layers:
            if not 0 <= layer <= sizes.num_layers:
                raise ValueError(f"layer is {layer}, but {folder} has layers 1 to {sizes.num_layers} (0: the end)")
        encoder = WhisperEncoder(sizes)
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{folder} holds no whole encoder of Whisper ({reason}); {REFETCH}.") from None
    del encoder.layers[_depth(layers, sizes.num_layers) :]
    return encoder.eval()


def _of_ctranslate2(path: Path) -> Tuple[Dict[str, Tensor], int]:
    """The encoder's weights under our names, and the number of heads."""
    model = read_ctranslate2(path, lambda name: name.startswith("encoder/"), whole=["encoder/num_heads"])
    if (model.kind, model.revision) != (CTRANSLATE2_KIND, CTRANSLATE2_REVISION):
        raise ValueError(
            f"{path} is a model of kind {model.kind}, revision {model.revision}, expected {CTRANSLATE2_KIND}, revision "
            f"{CTRANSLATE2_REVISION}; correct `model`, or convert it with a newer CTranslate2."
        )
    weights = Weights(model.tensors, f"{path}, encoder/*").part("encoder/")
    num_heads = _whole_number(weights.take("num_heads"), f"{path}: encoder/num_heads")
    theirs = {module: module for module in _WHOLE}
    for layer in range(_num_layers(weights, r"layer_(\d+)/.*")):
        names = {"attention_in": "self_attention/linear_0", **{ours: names[0] for ours, names in _LAYER.items()}}
        theirs.update({f"layers.{layer}.{ours}": f"layer_{layer}/{name}" for ours, name in names.items()})
    found = {"positions": weights.take("position_encodings/encodings")}
    for ours, name in theirs.items():
        kinds = ("gamma", "beta") if ours.endswith("_norm") else _KINDS
        found.update({f"{ours}.{kind}": weights.take(f"{name}/{of}") for kind, of in zip(_KINDS, kinds)})
    weights.require_empty()
    return found, num_heads


def _whole_number(value: Tensor, what: str) -> int:
    """The one number above 0 that a variable holds. Raises ValueError, beginning with `what`, if it does not."""
    if value.numel() != 1:
        raise ValueError(f"{what} has shape {tuple(value.shape)}, expected one whole number above 0; {REFETCH}.")
    number = float(value.reshape(()))
    if not number.is_integer() or number < 1:
        raise ValueError(f"{what} is {number:g}, expected a whole number above 0; {REFETCH}.")
    return int(number)


def _of_transformers(folder: Path) -> Tuple[Dict[str, Tensor], int]:
    """The same of a folder of transformers with safetensors; the decoder's weights are not read."""
    tensors: Dict[str, Tensor] = {}
    for path in safetensors_files(folder, "whisper"):
        read = read_tensors(path, REFETCH, lambda key: ".encoder." in f".{key}").tensors
        tensors.update({f".{key}".partition(".encoder.")[2]: value for key, value in read.items()})
    config = read_object(folder / "config.json")
    shapes = {"encoder_attention_heads": COUNT, "activation_function": Shape("gelu", lambda value: value == "gelu")}
    require(config, shapes, f"{folder / 'config.json'}")
    weights = Weights(tensors, f"{folder}, encoder.*")
    theirs = {module: module for module in _WHOLE}
    found = {"positions": weights.take("embed_positions.weight")}
    for layer in range(_num_layers(weights, r"layers\.(\d+)\..*")):
        theirs.update({f"layers.{layer}.{ours}": f"layers.{layer}.{names[1]}" for ours, names in _LAYER.items()})
        attention = weights.part(f"layers.{layer}.self_attn.")
        biases = [attention.take(f"{of}_proj.bias") for of in "qv"]
        biases.insert(1, torch.zeros_like(biases[0]))
        found[f"layers.{layer}.attention_in.bias"] = torch.cat(biases)
        matrices = [attention.take(f"{of}_proj.weight") for of in "qkv"]
        found[f"layers.{layer}.attention_in.weight"] = torch.cat(matrices)
        found.update({f"layers.{layer}.attention_out.{kind}": attention.take(f"out_proj.{kind}") for kind in _KINDS})
        attention.require_empty()
        del theirs[f"layers.{layer}.attention_out"]
    for ours, name in theirs.items():
        found.update({f"{ours}.{kind}": weights.take(f"{name}.{kind}") for kind in _KINDS})
    weights.require_empty()
    return found, config["encoder_attention_heads"]


def _num_layers(weights: Weights, pattern: str) -> int:
    return len({found.group(1) for found in (re.fullmatch(pattern, name) for name in weights.names()) if found})


def _sizes(weights: Mapping[str, Tensor], num_heads: int) -> EncoderSizes:
    """Read off the weights. RuntimeError, as of loading, for those that cannot be."""
    layers = {name.split(".")[1] for name in weights if name.startswith("layers.")}
    for name, rank in (("conv1.weight", 3), ("positions", 2), ("layers.0.feed_forward_in.weight", 2)):
        if name not in weights or weights[name].dim() != rank:
            raise RuntimeError(f"{name} is missing or has not {rank} dimensions")
        if 0 in weights[name].shape:
            raise RuntimeError(f"{name} has shape {tuple(weights[name].shape)}, which holds nothing")
    dim, num_mel_bins, _ = weights["conv1.weight"].shape
    if num_heads < 1 or dim % num_heads:
        raise RuntimeError(f"{dim} dimensions cannot be parted among {num_heads} heads")
    inner = len(weights["layers.0.feed_forward_in.weight"])
    return EncoderSizes(num_mel_bins, len(weights["positions"]), dim, inner, num_heads, len(layers))


def weight_files(folder: Path) -> List[Path]:
    """The files of weights in a model folder, sorted; FileNotFoundError, saying what is read, if there are none."""
    whole = folder / WEIGHTS_FILE
    return [whole] if whole.is_file() else safetensors_files(folder, "whisper")
