#!/usr/bin/env python3
"""When the letters of each transcript are said, by the CTC head of a trained recogniser: a CTM file a split.

What `measure_units.py` holds the codes of other feature types against: any recogniser of the same cuts will do.

Example: local/align_cuts.py --exp-dir exp/fbank_default --feature-dir data/features/fbank --splits test \
--output-dir data/alignments
"""

import logging
from pathlib import Path

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import load_recipe
from icefall_discrete.systems.asr.letter_times import ctc_log_probs, letters_in_time
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.alignments import write_ctm


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of a recogniser with a CTC head")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with the codes that it hears")
    parser.add_argument("--splits", default="test", help="splits to align, by commas (default: test)")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for <split>.ctm")
    parser.add_argument("--labels", choices=("letters", "pieces"), default="letters", help="(default: letters)")
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, RunConfig)
    return parser


def main() -> None:
    """Align each split and write its file; say how many cuts have no alignment."""
    args = get_parser().parse_args()
    experiment, run = Experiment(args.exp_dir), override(RunConfig(), args)
    model, targets, spec = experiment.build_model(), experiment.targets(), experiment.spec()
    if not isinstance(model, Transducer) or not isinstance(targets, PieceTargets):
        raise ValueError(f"{args.exp_dir} is no recogniser; give the folder of one that was trained with a CTC loss.")
    section = load_recipe(args.exp_dir, None).get("average", {})
    choice = override(from_dict(CheckpointChoice, section, str(args.exp_dir)), args, "average")
    load_into(model, resolve_choice(choice, args.exp_dir), args.exp_dir)
    model.to(run.torch_device()).eval()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for split in args.splits.split(","):
        cuts, _ = load_feature_cuts(args.feature_dir / f"{split}.jsonl.gz", spec)
        log_probs, _ = ctc_log_probs(model, cuts, spec, run, f"align {split}")
        frame_sec = model.config.encoder_frame_sec(spec)
        found = letters_in_time(log_probs, cuts, targets.text_encoder, frame_sec, args.labels == "pieces")
        write_ctm(args.output_dir / f"{split}.ctm", found)
        missing = len(list(cuts)) - len(found)
        logging.info(f"{args.output_dir / split}.ctm: {len(found)} cuts; {missing} have no alignment")


if __name__ == "__main__":
    run_script(main)
