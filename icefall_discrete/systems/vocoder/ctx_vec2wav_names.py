"""The published state dicts of CTX-vec2wav (X-LANCE/UniCATS-CTX-vec2wav) under our names, and the network they are of.

`frontend` has our names but for pointwise convolutions, which have an axis more; `backend` is HiFi-GAN's generator as
ParallelWaveGAN writes it, whose weight normalisation is multiplied out. Vectors of codes are no part of it.
"""

import re
from typing import Any, Dict, Mapping, NamedTuple

from torch import Tensor

from icefall_discrete.tokenizers.formats.pretrained import Weights

_RULES = (
    (re.compile(r"^input_conv$"), "conv_pre"),
    (re.compile(r"^upsamples\.(\d+)\.1$"), r"ups.\1"),
    (re.compile(r"^blocks\.(\d+)\.(convs[12])\.(\d+)\.1$"), r"resblocks.\1.\2.\3"),
    (re.compile(r"^output_conv\.1$"), "conv_post"),
)
_POINTWISE = re.compile(r"\.pointwise_conv[12]\.weight$")
_LAYER = "encoder1.decoders.0."


class Published(NamedTuple):
    """settings: of the network, as a recipe's section `model`. state: its weights under our names, but for the vectors
    of codes and the statistics of mel spectra."""

    settings: Dict[str, Any]
    state: Dict[str, Tensor]


def _named(stem: str) -> str:
    for pattern, replacement in _RULES:
        stem = pattern.sub(replacement, stem)
    return stem


def _counted(state: Mapping[str, Tensor], pattern: str) -> int:
    return len([name for name in state if re.fullmatch(pattern, name)])


def _generator(state: Mapping[str, Tensor]) -> Dict[str, Any]:
    """Settings of the generator, by the shapes of weights under our names."""
    kernels = [state[f"ups.{place}.weight"].shape[2] for place in range(_counted(state, r"ups\.\d+\.weight"))]
    blocks = _counted(state, r"resblocks\.\d+\.convs1\.0\.weight") // max(1, len(kernels))
    layer = f"front.{_LAYER}"
    heads, size = state[f"{layer}self_attn.pos_bias_u"].shape
    return {
        "kind": "ctx_vec2wav",
        "hifigan_channels": state["conv_pre.weight"].shape[0],
        # Each kernel is twice its rate, which the public code demands.
        "upsample_rates": [kernel // 2 for kernel in kernels],
        "upsample_kernels": kernels,
        "resblock_kernels": [state[f"resblocks.{place}.convs1.0.weight"].shape[2] for place in range(blocks)],
        "front_dim": heads * size,
        "front_num_heads": heads,
        "front_feedforward_dim": state[f"{layer}feed_forward.w_1.weight"].shape[0],
        "front_num_layers": _counted(state, r"front\.encoder1\.decoders\.\d+\.norm2\.weight"),
        "front_kernel": state[f"{layer}conv_module.depthwise_conv.weight"].shape[2],
        "prompt_bins": state["front.mel_proj.weight"].shape[0],
    }


def from_published(tensors: Mapping[str, Tensor], where: str) -> Published:
    """Network settings and weights of a published CTX-vec2wav.

    Args:
      tensors: its state dict. where: what it came from, for messages.
    Raises:
      ValueError: if it is none.
    """
    weights = Weights(dict(tensors), where)
    front, back = weights.part("frontend."), weights.part("backend.")
    weights.require_empty()
    if not front.names() or not back.names() or f"{_LAYER}src_attn.linear_q.weight" not in front:
        raise ValueError(f"{where} has no 'frontend' and 'backend', expected a CTX-vec2wav; give its generator.")
    state = {}
    for name in front.names():
        value = front.take(name)
        state[f"front.{name}"] = value.squeeze(2) if _POINTWISE.search(name) else value
    stems = sorted({name.rpartition(".")[0].removesuffix(".parametrizations.weight") for name in back.names()})
    for stem in stems:
        state[f"{_named(stem)}.weight"] = back.take_normed(f"{stem}.")
        state[f"{_named(stem)}.bias"] = back.take(f"{stem}.bias")
    back.require_empty()
    codes: Dict[str, Any] = {"embedding_dim": 0, "embedding_init": "codebook", "embedding_frozen": True}
    model = {"input": codes, "generator": _generator(state), "voice_dim": 0}
    return Published(model, {f"generator.{name}": one for name, one in state.items()})


def input_width(state: Mapping[str, Tensor]) -> int:
    """Width of the vectors of codes that the weights of `from_published` read."""
    return state["generator.front.encoder1.embed.0.weight"].shape[1]
