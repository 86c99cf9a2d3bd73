#!/usr/bin/env python3
"""Take over a published CTX-vec2wav, the generator of X-LANCE/UniCATS-CTX-vec2wav.

    tools/convert_ctx_vec2wav.py --checkpoint ctx_v2w.pkl --cmvn cmvn.ark \\
        --feature-dir data/features/vq_wav2vec --exp-dir V

makes an experiment folder V, which `icefall-discrete resynthesise` and `synthesise` take as it is, with a --prompt, and
local/train.py to begin with (--init-from V). The features are those of the codes that it was made for, as extraction
leaves them; their tokenizer travels with V. Nothing in the files is run. Prints the settings of the network, as JSON.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.published_ctx_vec2wav import write_experiment


def main() -> None:
    """Convert one checkpoint."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of the generator, such as ctx_v2w.pkl")
    parser.add_argument("--cmvn", type=Path, required=True, help="sums of its mel spectra, cmvn.ark")
    parser.add_argument(
        "--feature-dir", type=Path, required=True, help="folder of features of its codes, with spec.json"
    )
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment folder to make")
    args = parser.parse_args()
    settings = write_experiment(args.exp_dir, args.checkpoint, args.cmvn, args.feature_dir)
    print(json.dumps(settings.to_dict()["model"], indent=2))


if __name__ == "__main__":
    run_script(main)
