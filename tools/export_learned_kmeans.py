#!/usr/bin/env python3
"""The k-means that a recogniser learnt with itself (model.input.learned_codes) as an ordinary feature type.

    tools/export_learned_kmeans.py --exp-dir egs/asterisk/ASR/exp/NAME --to learnt_km500.json

writes that file and its centroids beside it: stage 2 has nothing to fit then, and any recipe takes it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.learned_kmeans import write_feature_type
from icefall_discrete.experiment.transcription_files import kept_settings


def main() -> None:
    """Export one."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="experiment whose recogniser learnt codes")
    parser.add_argument("--to", type=Path, required=True, help="feature type to write, NAME.json")
    add_flags(parser, CheckpointChoice)
    args = parser.parse_args()
    values = write_feature_type(args.exp_dir, override(kept_settings(args.exp_dir)[0], args), args.to)
    print(f"{args.to}: {values['tokenizer']}, {values['num_clusters']} clusters")


if __name__ == "__main__":
    run_script(main)
