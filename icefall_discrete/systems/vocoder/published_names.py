"""The published state dicts of unit vocoders, HiFi-GAN on units: fairseq's CodeGenerator and speech-resynthesis.

`dict` is the table of units, `spkr` that of voices, `dur_predictor` says how long units last; the rest is the
generator, whose weight normalisation is multiplied out here. What weights do not tell is in the config.json beside.
"""

from typing import Any, Dict, List, Mapping, NamedTuple

import torch
from torch import Tensor

from icefall_discrete.base.settings import from_dict
from icefall_discrete.systems.vocoder.network import ModelConfig
from icefall_discrete.tokenizers.formats.pretrained import Weights


class Published(NamedTuple):
    """model: settings of the network. state: its weights under our names. voices: names of those of the table."""

    model: ModelConfig
    state: Dict[str, Tensor]
    voices: List[str]


def _lists(config: Mapping[str, Any], name: str, where: str) -> List[int]:
    found = config.get(name)
    if not isinstance(found, list) or not all(isinstance(one, int) and one > 0 for one in found) or not found:
        raise ValueError(
            f"{where}: '{name}' is {found!r}, expected a list of whole numbers; give the vocoder's config.json."
        )
    return found


def _dilations(config: Mapping[str, Any], where: str) -> List[int]:
    found = config.get("resblock_dilation_sizes")
    rows = found if isinstance(found, list) and found else [None]
    if any(row != rows[0] for row in rows) or config.get("resblock", "1") != "1":
        raise ValueError(
            f"{where}: resblock {config.get('resblock')!r} with the dilations {found!r}, expected kind '1' with the "
            "same ones in each; other residual blocks are not known here."
        )
    return _lists({"resblock_dilation_sizes": rows[0]}, "resblock_dilation_sizes", where)


def require_supported(weights: Weights, where: str) -> None:
    """Raise ValueError for a vocoder that reads more than units and a voice of a table."""
    names = weights.names()
    for stems, what in (
        (("f0_quant_embed.", "quantizer.", "encoder."), "reads F0 beside units"),
        (("spkr.bias",), "takes voices as vectors, not from a table"),
    ):
        found = [name for name in names if name.startswith(stems)]
        if found:
            raise ValueError(f"{where} {what} ('{found[0]}'), which is not known here; give a vocoder without that.")


def from_published(tensors: Mapping[str, Tensor], config: Mapping[str, Any], where: str) -> Published:
    """Network settings and weights of a published vocoder.

    Args:
      tensors: its state dict. config: what its config.json says. where: what both came from, for messages.
    Raises:
      ValueError: if it is none, or one that reads what is not known here.
    """
    weights = Weights(dict(tensors), where)
    require_supported(weights, where)
    table = weights.take("dict.weight")
    state = {"input_embedding.table": torch.cat([table, torch.zeros(1, table.shape[1])])}
    voices: List[str] = []
    if "spkr.weight" in weights:
        spoken = weights.take("spkr.weight")
        voices = [str(number) for number in range(len(spoken))]
        state["voices.weight"] = torch.cat([spoken.mean(dim=0, keepdim=True), spoken])
    durations = weights.part("dur_predictor.")
    said = {name: durations.take(name) for name in durations.names()}
    state.update({f"durations.{name}": value for name, value in said.items()})
    stems = sorted({name.rpartition(".")[0].removesuffix(".parametrizations.weight") for name in weights.names()})
    for stem in stems:
        state[f"generator.{stem}.weight"] = weights.take_normed(f"{stem}.")
        state[f"generator.{stem}.bias"] = weights.take(f"{stem}.bias")
    weights.require_empty()
    if "generator.conv_pre.weight" not in state:
        raise ValueError(f"{where} has no 'conv_pre', expected the generator of a unit HiFi-GAN; give its checkpoint.")
    model: Dict[str, Any] = {
        "input": {"embedding_dim": table.shape[1]},
        "generator": {
            "kind": "hifigan",
            "hifigan_channels": state["generator.conv_pre.weight"].shape[0],
            "upsample_rates": _lists(config, "upsample_rates", where),
            "upsample_kernels": _lists(config, "upsample_kernel_sizes", where),
            "resblock_kernels": _lists(config, "resblock_kernel_sizes", where),
            "resblock_dilations": _dilations(config, where),
        },
        "voice_dim": state["voices.weight"].shape[1] if voices else 0,
    }
    if said:
        kernel = said["conv1.0.weight"].shape
        model["durations"] = {"predict_durations": True, "duration_dim": kernel[0], "duration_kernel": kernel[2]}
    return Published(from_dict(ModelConfig, model, where), state, voices)
