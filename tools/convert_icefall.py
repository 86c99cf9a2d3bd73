"""Convert a checkpoint of icefall's zipformer recipe to this repository's names, or back.

Reads `model` of the checkpoint (epoch-*.pt or pretrained.pt), writes {"model": ...}, and prints the model settings that
the weights' shapes tell, as JSON. What they cannot tell is left to the model's configuration.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.settings import ScriptParser, add_flags, override, setting
from icefall_discrete.systems.asr.icefall_names import from_icefall, inferred_settings, to_icefall


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """What is converted."""

    checkpoint: str = setting("", "checkpoint to read")
    output: str = setting("", "file to write")
    to: str = setting("ours", "whose names the output has", choices=("ours", "icefall"))
    pos_head_dim: int = setting(4, "positional dimension of a head, which the shapes do not tell")


def main() -> None:
    """Convert one file."""
    parser = ScriptParser(__doc__)
    add_flags(parser, ConvertConfig)
    config = override(ConvertConfig(), parser.parse_args())
    if not config.checkpoint or not config.output:
        parser.error("--checkpoint and --output are needed.")
    loaded = torch.load(config.checkpoint, map_location="cpu")
    if "model" not in loaded:
        raise ValueError(f"{config.checkpoint} has no 'model'; expected a checkpoint or pretrained.pt.")
    ours = from_icefall(loaded["model"]) if config.to == "ours" else loaded["model"]
    torch.save({"model": ours if config.to == "ours" else to_icefall(ours)}, config.output)
    print(json.dumps(inferred_settings(ours, config.pos_head_dim), indent=2))


if __name__ == "__main__":
    main()
