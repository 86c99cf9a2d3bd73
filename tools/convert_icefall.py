#!/usr/bin/env python3
"""Convert a checkpoint of icefall's zipformer recipe to this repository's names, or back.

Reads `model` of the checkpoint (epoch-*.pt or pretrained.pt), writes {"model": ...}, and prints the model settings that
the weights' shapes tell, as JSON. What they cannot tell is left to the model's configuration. Nothing in the checkpoint
is run: what it holds beside the weights (paths, samplers, optimiser) is passed over.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.guarded_pickle import CHECKPOINT_RECORDS, read_checkpoint, tensors_of
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.systems.asr.icefall_names import from_icefall, inferred_settings, to_icefall

# Packages of what icefall saves beside the weights: its parameters, the state of samplers, optimiser and schedule.
ICEFALL_RECORDS = (
    *CHECKPOINT_RECORDS,
    *("collections", "datetime", "icefall", "k2", "lhotse", "optim", "random", "sentencepiece", "torch.optim"),
)


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """What is converted."""

    checkpoint: str = setting("", "checkpoint to read")
    output: str = setting("", "file to write")
    to: str = setting("ours", "whose names the output has", choices=("ours", "icefall"))
    pos_head_dim: int = setting(4, "positional dimension of a head, which the shapes do not tell")


def read_weights(path: Path) -> Dict[str, Tensor]:
    """The weights of a checkpoint; ValueError, naming the file, if it has none."""
    loaded = read_checkpoint(path, ICEFALL_RECORDS, advice="give a checkpoint of icefall, epoch-*.pt or pretrained.pt")
    if not isinstance(loaded, dict) or "model" not in loaded:
        raise ValueError(f"{path} has no 'model'; expected a checkpoint of icefall, epoch-*.pt or pretrained.pt.")
    return tensors_of(loaded["model"], f"{path}, 'model',")


def converted(path: Path, config: ConvertConfig) -> Tuple[Dict[str, Tensor], Dict[str, Any]]:
    """The weights under the names asked for, and the settings that their shapes tell; ValueError if they tell none."""
    weights = read_weights(path)
    try:
        ours = from_icefall(weights) if config.to == "ours" else weights
        settings = inferred_settings(ours, config.pos_head_dim)
        return (ours if config.to == "ours" else to_icefall(ours)), settings
    except KeyError as error:
        raise ValueError(f"{path} lacks the weight {error}; expected a Zipformer transducer of icefall.") from None
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no Zipformer transducer of icefall ({error}).") from None


def main() -> None:
    """Convert one file."""
    parser = ScriptParser(__doc__)
    add_flags(parser, ConvertConfig)
    config = override(ConvertConfig(), parser.parse_args())
    if not config.checkpoint or not config.output:
        parser.error("--checkpoint and --output are needed.")
    weights, settings = converted(Path(config.checkpoint), config)
    with replacing(config.output) as temporary:
        torch.save({"model": weights}, temporary)
    print(json.dumps(settings, indent=2))


if __name__ == "__main__":
    run_script(main)
