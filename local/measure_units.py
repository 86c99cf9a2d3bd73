#!/usr/bin/env python3
"""What the codes of a split say of phones or letters whose times are known: PNMI, purities, boundaries and ABX.

With --exp-dir, a recogniser of the same codes, also how much they tell of the text. tools/token_report.py shows the
result beside others.

Example: local/measure_units.py --feature-dir data/features/mfcc_km500 --split test \
--alignment data/alignments/test.ctm --output results/units/mfcc_km500.json
"""

import itertools
import logging
from pathlib import Path
from typing import Any, Dict

from lhotse import CutSet

from icefall_discrete.base import environment
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import language_of, load_feature_cuts, text_of
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.extraction.unit_figures import unit_scores
from icefall_discrete.lm.unit_bits import lm_bits_per_second
from icefall_discrete.metrics.text_information import text_information
from icefall_discrete.results.ledger import portable_command
from icefall_discrete.results.token_files import unit_result
from icefall_discrete.systems.asr.letter_times import ctc_log_probs, text_scores
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.alignments import read_alignments, without_stress

ROOT = Path(__file__).resolve().parents[1]


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with the codes")
    parser.add_argument("--split", default="test", help="split to measure (default: test)")
    parser.add_argument(
        "--alignment", type=Path, required=True, help="TextGrid (or a folder of them), CTM, or .tsv of labels"
    )
    parser.add_argument("--tier", default="phones", help="tier of TextGrids (default: phones)")
    parser.add_argument("--exp-dir", type=Path, help="recogniser of these codes, for the text's information")
    parser.add_argument(
        "--num-texts", type=Number(int, minimum=2), default=100, help="utterances for it, each against each (100)"
    )
    parser.add_argument(
        "--train-split", help="split to estimate n-gram models of units on, for their bits (default: no such models)"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, RunConfig)
    return parser


def text_scores_of(args: Any, cuts: CutSet, spec: FeatureSpec) -> Dict[str, Any]:
    """The text information of the first cuts that the recogniser can align with their texts."""
    experiment, run = Experiment(args.exp_dir), override(RunConfig(), args)
    experiment.spec().require_same(spec, str(args.exp_dir), str(args.feature_dir))
    model, targets = experiment.build_model(), experiment.targets()
    if not isinstance(model, Transducer) or not isinstance(targets, PieceTargets):
        raise ValueError(f"{args.exp_dir} is no recogniser; give the folder of one that was trained with a CTC loss.")
    choice = override(kept_settings(args.exp_dir)[0], args, "average")
    load_into(model, resolve_choice(choice, args.exp_dir), args.exp_dir)
    model.to(run.torch_device()).eval()
    chosen = CutSet.from_cuts(list(cuts)[: args.num_texts])
    log_probs, _ = ctc_log_probs(model, chosen, spec, run, "text information")
    encoder = targets.text_encoder
    labels = {cut.id: encoder.labels_of(text_of(cut), language_of(cut)) for cut in chosen}
    # Equal neighbours need a blank between them.
    fits = {name: len(one) + sum(a == b for a, b in itertools.pairwise(one)) for name, one in labels.items()}
    kept = [name for name in labels if name in log_probs and fits[name] <= len(log_probs[name])]
    scores = text_scores([log_probs[name] for name in kept], [labels[name] for name in kept], encoder.blank_id)
    found = text_information(scores)
    counts = {"num_utterances": found.num_utterances, "num_impossible": found.num_impossible}
    return {"text_information": {"value": round(found.bits, 4), **counts, "exp_dir": args.exp_dir.name}}


def main() -> None:
    """Measure, write the result, and print its figures."""
    args = get_parser().parse_args()
    cuts, spec = load_feature_cuts(args.feature_dir / f"{args.split}.jsonl.gz")
    alignments = without_stress(read_alignments(args.alignment, args.tier))
    scores = unit_scores(cuts, spec, alignments, f"{spec.name} {args.split}")
    if args.train_split:
        train, _ = load_feature_cuts(args.feature_dir / f"{args.train_split}.jsonl.gz", spec)
        scores["units"]["lm_bits_per_second"] = lm_bits_per_second(list(train), list(cuts), spec)
    if args.exp_dir is not None:
        scores.update(text_scores_of(args, cuts, spec))
    made_by = environment.describe()
    made_by["command"] = portable_command(made_by.get("command") or "", ROOT)
    result = unit_result(spec, args.split, scores, args.alignment.name, made_by)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.output, result)
    logging.info(f"{args.output}: {', '.join(name for name in scores if name != 'units')}")


if __name__ == "__main__":
    run_script(main)
