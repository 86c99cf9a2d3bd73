#!/usr/bin/env python3
"""Error rates of several experiments that share the test sets between them, as if they were one model.

For models of one language each: every experiment was decoded and scored before; the utterances of all are scored as one
set, and the result is a row of the tables, to be compared with the model of all languages.
"""

import functools
import logging
from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.pseudo_labels import require_truth
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.results.joined import joined_result, joined_set
from icefall_discrete.results.ledger import add_to_ledger, read_result
from icefall_discrete.systems.asr.prediction import AsrPrediction
from icefall_discrete.systems.asr.recognition import language_by_cut
from icefall_discrete.systems.asr.recogs import read_recogs
from icefall_discrete.systems.asr.scoring import score_transcripts, set_table

LOG = logging.getLogger("score_together")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, action="append", required=True, help="a scored experiment (repeatable)")
    parser.add_argument("--decoding-method", default="greedy_search", help="search to score (default: greedy_search)")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder of the features")
    parser.add_argument("--recipe", required=True, help="name of the recipe in tables")
    parser.add_argument("--output", type=Path, required=True, help="file to write the result to, such as result.json")
    parser.add_argument("--results-dir", type=Path, help="folder of results to add this one to (default: none)")
    return parser


def main() -> None:
    """Score the union of what the experiments decoded last."""
    args = get_parser().parse_args()
    decoded = [AsrPrediction().last(exp_dir, args.decoding_method) for exp_dir in args.exp_dir]
    results: List[Dict[str, Any]] = [read_result(exp_dir / "result.json") for exp_dir in args.exp_dir]
    rules = from_dict(ScoringRules, results[0].get("scoring_rules") or {}, str(args.exp_dir[0] / "result.json"))
    sets: Dict[str, Any] = {}
    for split in decoded[0][1]:
        cuts = load_cuts(args.feature_dir / f"{split}.jsonl.gz")
        require_truth(cuts, "scoring")
        language_of = language_by_cut(cuts)
        score = functools.partial(score_transcripts, language_of=language_of)
        parts = [[rules.scored(one) for one in read_recogs(files.recogs(split))] for files, _ in decoded]
        sets[split] = joined_set(split, parts, [result["sets"].get(split, {}) for result in results], score)
        missing = len(language_of) - sets[split]["num_utterances"]
        if missing:
            LOG.warning("%d of %d cuts of %s were decoded by none of the experiments", missing, len(language_of), split)
        print(set_table(split, sets[split]))
    result = joined_result(results, sets, args.recipe)
    write_json(args.output, result)
    if args.results_dir:
        LOG.info("Wrote %s", add_to_ledger(args.results_dir, result))


if __name__ == "__main__":
    run_script(main)
