#!/usr/bin/env python3
"""Take over a recogniser of units that ESPnet trained: its recipes called asr2, with an E-Branchformer.

    tools/convert_espnet.py --checkpoint exp/asr/valid.acc.ave.pth --config exp/asr/config.yaml \\
        --units wavlm_large_l21_km2000 --kmeans exp/kmeans/wavlm_large_21_2000clusters/km_2000.mdl --exp-dir E

makes an experiment folder E, which local/decode.py and transcribe take as it is, and local/train.py to begin with
(--init-from E). Token lists are read from config.yaml, and so are the names of the two sentencepiece models, which are
looked for in the folders above it; --bpe-model and --unit-bpe-model say where they are otherwise.

Nothing in the files is run. Prints the settings of the model, as JSON: what the weights' shapes tell, and from
config.yaml what they cannot tell. Settings of the training (optimiser, masks) are not taken over.
"""

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.experiment.espnet_checkpoints import Beside, read_weights, write_experiment
from icefall_discrete.experiment.espnet_config import found_above, read_config


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """What is converted."""

    checkpoint: str = setting("", "weights to read, such as valid.acc.ave.pth; needed")
    config: str = setting("", "config.yaml of the training; default: that beside the checkpoint")
    exp_dir: str = setting("", "experiment folder to make; needed")
    units: str = setting("", "feature type of the units, a name or a path, such as wavlm_large_l21_km2000; needed")
    kmeans: str = setting("", "their centroids, such as km_2000.mdl; needed unless the feature type names them")
    bpe_model: str = setting("", "sentencepiece model of the text; default: where config.yaml says")
    unit_bpe_model: str = setting("", "sentencepiece model of the units; default: where config.yaml says")
    deduplicate: bool = setting(True, "repeated units were removed (src_case rm; false: ts)")
    codes_per_sec: float = setting(
        20.0, "average number of source tokens a second of audio; times of words are reckoned with it", above=0
    )


def main() -> None:
    """Convert one checkpoint."""
    parser = ScriptParser(__doc__)
    add_flags(parser, ConvertConfig)
    config = override(ConvertConfig(), parser.parse_args())
    if not (config.checkpoint and config.exp_dir and config.units):
        parser.error("--checkpoint, --exp-dir and --units are needed.")
    path = Path(config.checkpoint)
    config_path = Path(config.config) if config.config else path.with_name("config.yaml")
    told = read_config(config_path)
    beside = Beside(
        found_above(config_path, config.bpe_model, told.bpe_model, "--bpe-model"),
        found_above(config_path, config.unit_bpe_model, told.unit_bpe_model, "--unit-bpe-model"),
        config.units,
        config.kmeans,
        config.deduplicate,
        config.codes_per_sec,
    )
    converted = write_experiment(Path(config.exp_dir), path, read_weights(path), told, beside)
    print(json.dumps(converted.settings, indent=2))


if __name__ == "__main__":
    run_script(main)
