#!/usr/bin/env python3
"""Make report.html of an experiment: one page, without a server, at any time of a training.

Losses, learning rate and dev figures; error rates, the worst utterances with their audio, the most frequent errors, and
error rates by length and by noise.

Example: tools/report.py --exp-dir egs/asterisk/ASR/exp/whisper_base_l5l0_2km1000_default
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.shapes import TEXT, read_shaped
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.folder import Experiment, require_experiment
from icefall_discrete.experiment.transcription_files import load_recipe
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.results.training_report import DecodedSet, listen, report_page
from icefall_discrete.systems.asr.decoding_files import DecodingFiles
from icefall_discrete.systems.asr.recogs import read_recogs

LOG = logging.getLogger("report")


def get_parser() -> ScriptParser:
    """The flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--decoding-method", help="search whose sets are shown (default: that of result.json)")
    parser.add_argument("--feature-dir", type=Path, help="folder of the features (default: as decoding noted it)")
    parser.add_argument("--output", type=Path, help="the page (default: report.html in the experiment's folder)")
    parser.add_argument("--num-worst", type=Number(int, minimum=0), default=20, help="utterances shown of each set")
    parser.add_argument(
        "--num-listened",
        type=Number(int, minimum=0),
        default=500,
        help="utterances of each set whose noise is measured",
    )
    return parser


def scoring_rules(exp_dir: Path) -> ScoringRules:
    """The rules that the experiment was scored by, or none."""
    path = exp_dir / "result.json"
    rules = read_object(path).get("scoring_rules") if path.is_file() else None
    return from_dict(ScoringRules, rules, str(path)) if isinstance(rules, dict) else ScoringRules()


def method_of(exp_dir: Path) -> str:
    """The search of result.json, or else that of the recipe."""
    path = exp_dir / "result.json"
    decoding = read_object(path).get("decoding") if path.is_file() else None
    if isinstance(decoding, dict) and isinstance(decoding.get("method"), str):
        return decoding["method"]
    return load_recipe(exp_dir, None).get("decode", {}).get("decoding_method", DecodeConfig.decoding_method)


def decoded_sets(args: Any) -> List[DecodedSet]:
    """The sets of a recogniser that were decoded last; none before decoding, or for another system."""
    prediction = Experiment(args.exp_dir).stages().prediction
    try:
        files, splits = prediction.last(args.exp_dir, args.decoding_method or method_of(args.exp_dir))
    except FileNotFoundError as error:
        if args.decoding_method:
            raise
        LOG.warning("no errors are shown: %s", error)
        return []
    if not isinstance(files, DecodingFiles):
        return []
    rules, sets = scoring_rules(args.exp_dir), []
    for split in splits:
        noted: Dict[str, Any] = read_shaped(files.record(split), {"feature_dir": TEXT}, "decode again")
        path = (args.feature_dir or Path(noted["feature_dir"])) / f"{split}.jsonl.gz"
        if not path.is_file():
            LOG.warning("%s is gone, so that there is no audio and no length of %s; give --feature-dir.", path, split)
        cuts = load_cuts(path) if path.is_file() else None
        transcripts = [rules.scored(one) for one in read_recogs(files.recogs(split))]
        snr_db = listen(cuts, args.num_listened) if cuts is not None else {}
        link = Path(os.path.relpath(files.page(split), args.output.parent)).as_posix()
        sets.append(DecodedSet(split, files.folder.name, transcripts, cuts, snr_db, link))
    return sets


def main() -> None:
    """Make one page."""
    args = get_parser().parse_args()
    require_experiment(args.exp_dir)
    args.output = args.output or args.exp_dir / "report.html"
    write_text(args.output, report_page(args.exp_dir, decoded_sets(args), args.output, args.num_worst))
    LOG.info("Wrote %s", args.output)


if __name__ == "__main__":
    run_script(main)
