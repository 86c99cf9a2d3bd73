#!/usr/bin/env python3
"""Take over a published unit vocoder: the generator of fairseq's CodeGenerator, or of speech-resynthesis.

    tools/convert_unit_hifigan.py --checkpoint g_00500000 --config config.json \\
        --feature-dir data/features/mhubert_l11_km1000 --exp-dir V

makes an experiment folder V, which `icefall-discrete resynthesise` and `synthesise` take as it is, and local/train.py
to begin with (--init-from V). The features are those of the units that it was made for, as extraction leaves them;
their tokenizer travels with V. Nothing in the files is run. Prints the settings of the network, as JSON.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.unit_hifigan import write_experiment


def main() -> None:
    """Convert one checkpoint."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of the generator, such as g_00500000")
    parser.add_argument("--config", type=Path, help="its config.json (default: that beside the checkpoint)")
    parser.add_argument(
        "--feature-dir", type=Path, required=True, help="folder of features of its units, with spec.json"
    )
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment folder to make")
    args = parser.parse_args()
    config = args.config or args.checkpoint.with_name("config.json")
    settings = write_experiment(args.exp_dir, args.checkpoint, config, args.feature_dir)
    print(json.dumps(settings.to_dict()["model"], indent=2))


if __name__ == "__main__":
    run_script(main)
