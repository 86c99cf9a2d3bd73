#!/usr/bin/env python3
"""Stage 8: figures of what was decoded last, files to read its errors in, result.json."""

import logging
from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.base import environment
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.provenance import recorded_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.base.shapes import OBJECT, TEXT, or_null, read_shaped
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import load_recipe
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.results.ledger import (
    add_to_ledger,
    describe_features,
    describe_training,
    portable_command,
    read_optional,
)
from icefall_discrete.systems.prediction import OutputFiles

LOG = logging.getLogger("score")
ROOT = Path(__file__).resolve().parents[1]
# Of what decoding noted, what is relied on here.
RECORD = {
    **dict.fromkeys(("feature_dir", "device"), TEXT),
    **dict.fromkeys(("made_from", "environment"), OBJECT),
    **dict.fromkeys(("recipe", "device_name"), or_null(TEXT)),
}


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the decoded experiment")
    parser.add_argument("--decoding-method", help="search to score (default: that of <exp-dir>/recipe.json)")
    parser.add_argument("--feature-dir", type=Path, help="folder of the features (default: as decoding noted it)")
    parser.add_argument("--splits", help="splits to score, by commas (default: those decoded last)")
    parser.add_argument("--recipe", help="name of the recipe in tables (default: as decoding noted it, or custom)")
    parser.add_argument("--scoring-rules", type=Path, help="JSON file of words that are not scored (default: none)")
    parser.add_argument("--search-name", help="what sets this search apart from the recipe's own (default: nothing)")
    parser.add_argument("--run-command", help="what made all of this, for RESULTS.md (default: training)")
    parser.add_argument("--settings-digest", help="digest of what run.sh was asked for and its files (default: none)")
    parser.add_argument("--results-dir", type=Path, help="folder of results to add this one to (default: none)")
    return parser


def gather(args: Any, files: OutputFiles, records: Dict[str, Dict], sets: Dict[str, Dict]) -> Dict[str, Any]:
    """The content of result.json: what was measured, what it cost, and how it was made."""
    spec = FeatureSpec.read(args.exp_dir / "spec.json")
    experiment = Experiment(args.exp_dir)
    training = describe_training(args.exp_dir)
    is_known = (args.exp_dir / "config.json").is_file()
    training["seed"] = experiment.settings().train.seed if is_known else None
    training["digest_but_seed"] = experiment.digest_but_seed() if is_known else None
    made_by = read_optional(args.exp_dir / "env.json") or environment.describe()
    decoding = next(iter(records.values()))
    settings = {
        key: portable_command(value, ROOT) if isinstance(value, str) else value
        for key, value in recorded_in(decoding, files.record(next(iter(records)))).settings.items()
    }
    commands = {"train": made_by.get("command"), "decode": decoding["environment"].get("command")}
    device = training["device"] or decoding["device"]
    decoded_by = decoding["environment"].get("git")
    kept = ("git", *(key for key in ("commits",) if key in made_by), "versions", "cpu", "cpu_count")
    return {
        "feature_type": spec.name,
        "recipe": args.recipe or decoding.get("recipe") or "custom",
        "device": device,
        "search": args.search_name,
        "device_name": decoding.get("device_name") if device == decoding["device"] else None,
        "command": portable_command(args.run_command or commands["train"] or "", ROOT),
        "settings_digests": [args.settings_digest] if args.settings_digest else None,
        "commands": {name: portable_command(text or "", ROOT) for name, text in commands.items()},
        "sets": sets,
        "features": describe_features(args.feature_dir, spec),
        "training": training,
        "decoding": {"method": files.folder.name, "suffix": files.suffix, "git": decoded_by, **settings},
        "environment": {key: made_by.get(key) for key in kept},
    }


def main() -> None:
    """Score the splits and write result.json."""
    args = get_parser().parse_args()
    prediction = Experiment(args.exp_dir).stages().prediction
    kept = load_recipe(args.exp_dir, None).get("decode", {})
    method = args.decoding_method or kept.get("decoding_method", DecodeConfig.decoding_method)
    files, splits = prediction.last(args.exp_dir, method)
    splits = some_names_in(args.splits, "splits") if args.splits else splits
    records = {split: read_shaped(files.record(split), RECORD, "decode again") for split in splits}
    args.feature_dir = args.feature_dir or Path(records[splits[0]]["feature_dir"])
    if not args.feature_dir.is_dir():
        raise FileNotFoundError(
            f"{args.feature_dir}, whose cuts were decoded, is gone; say where it is, --feature-dir."
        )
    path = args.scoring_rules
    rules = from_dict(ScoringRules, read_object(path), str(path)) if path else ScoringRules()
    sets: Dict[str, Dict] = {}
    for split in splits:
        wanted = ("decode_rtf", "peak_memory_mib", "num_too_short", "audio_sec")
        measured = {key: records[split].get(key) for key in wanted}
        sets[split] = {**prediction.score(split, files, args.feature_dir, rules), **measured}
    result = {**gather(args, files, records, sets), "scoring_rules": to_dict(rules) if path else None}
    write_json(args.exp_dir / "result.json", result)
    written: List[Path] = [args.exp_dir / "result.json"]
    if args.results_dir:
        written.append(add_to_ledger(args.results_dir, result))
    LOG.info(f"Wrote {', '.join(map(str, written))}; errors to read are in {files.page(splits[-1])}")


if __name__ == "__main__":
    run_script(main)
