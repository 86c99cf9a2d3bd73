#!/usr/bin/env python3
"""Take over a checkpoint of icefall's zipformer recipe, or give one of ours to icefall.

    tools/convert_icefall.py --checkpoint zipformer/exp/epoch-30.pt --bpe-model data/lang_bpe_500/bpe.model --exp-dir E

makes an experiment folder E, which local/decode.py and transcribe take as it is, and local/train.py to begin with
(--init-from E). With --output instead, only the weights are written, under our names or icefall's.

Reads `model` of the checkpoint (epoch-*.pt or pretrained.pt), and prints the model settings that the weights' shapes
tell, as JSON. What they cannot tell (schedules, chunk sizes) has its default. Nothing in the checkpoint is run: what it
holds beside the weights (paths, samplers, optimiser) is passed over.
"""

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.checkpoint import write_torch
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.experiment.icefall_checkpoints import Beside, read_weights, under_our_names, write_experiment
from icefall_discrete.systems.asr.icefall_names import to_icefall


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """What is converted."""

    checkpoint: str = setting("", "checkpoint to read; needed")
    exp_dir: str = setting("", "experiment folder to make; this or --output is needed")
    bpe_model: str = setting("", "the checkpoint's text pieces, bpe.model of its lang folder; needed with --exp-dir")
    feature_type: str = setting("fbank", "the checkpoint's filter banks: a feature type, or a path to its JSON file")
    output: str = setting("", "file to write the weights to, instead of a folder")
    to: str = setting("ours", "whose names the file has", choices=("ours", "icefall"))
    pos_head_dim: int = setting(4, "positional dimension of a head, which the shapes do not tell", minimum=1)


def main() -> None:
    """Convert one file."""
    parser = ScriptParser(__doc__)
    add_flags(parser, ConvertConfig)
    config = override(ConvertConfig(), parser.parse_args())
    if not config.checkpoint or bool(config.exp_dir) == bool(config.output):
        parser.error("--checkpoint is needed, and either --exp-dir or --output.")
    if config.exp_dir and not config.bpe_model:
        parser.error("--exp-dir needs --bpe-model too, bpe.model of the folder that icefall calls lang_bpe_*.")
    path = Path(config.checkpoint)
    converted = under_our_names(read_weights(path), path, config.pos_head_dim)
    if config.exp_dir:
        write_experiment(Path(config.exp_dir), path, converted, Beside(Path(config.bpe_model), config.feature_type))
    else:
        weights = converted.weights if config.to == "ours" else to_icefall(converted.weights)
        write_torch(config.output, {"model": weights})
    print(json.dumps(converted.settings, indent=2))


if __name__ == "__main__":
    run_script(main)
