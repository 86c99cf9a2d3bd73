#!/usr/bin/env python3
"""result.json of a model of train_unsupervised.py: the errors of the seed that was chosen without transcripts, and the
table of all seeds, with what each of them gets wrong.

All seeds must have said the splits (say_unsupervised.py --all-seeds). What a seed gets wrong changes nothing about
which one is chosen. A control, whose text was shuffled, has that in the name of its recipe, whatever it is called by.

Example: local/score_unsupervised.py --exp-dir exp/unsupervised --feature-dir data/features/whisper_base_l4 --splits \
dev,test --results-dir results
"""

import logging
from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.base.environment import commits_in
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings_digest import json_digest
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.results.ledger import (
    add_to_ledger,
    describe_features,
    describe_training,
    portable_command,
    read_optional,
)
from icefall_discrete.systems.wav2vec_u.saying import SPEC, SayConfig
from icefall_discrete.systems.wav2vec_u.seed_scores import CONTROL, ScoredSeeds, weights_of
from icefall_discrete.systems.wav2vec_u.training import ORIGIN

LOG = logging.getLogger("score_unsupervised")
ROOT = Path(__file__).resolve().parents[1]
# What the loop calls an epoch is what lies between two looks, and says nothing in a table.
_OF_EPOCHS = ("epochs", "seconds_per_epoch")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of train_unsupervised.py")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder of the features that were heard")
    parser.add_argument("--splits", default="test", help="splits that were said, by commas (default: test)")
    parser.add_argument("--recipe", default="custom", help="name of the recipe in tables (default: custom)")
    parser.add_argument("--run-command", help="what made all of this, for RESULTS.md (default: training)")
    parser.add_argument("--settings-digest", help="digest of what run.sh was asked for and its files (default: none)")
    parser.add_argument("--results-dir", type=Path, help="folder of results to add this one to (default: none)")
    add_flags(parser, SayConfig)
    return parser


def trained(exp_dir: Path, found: ScoredSeeds) -> Dict[str, Any]:
    """What training cost: of all seeds its minutes, of the chosen one the rest.

    A seed is what is chosen here, and no name of a run.
    """
    folders = [weights_of(exp_dir, row["seed"]).parent for row in found.table["seeds"]]
    core_minutes = [describe_training(folder)["core_minutes"] for folder in folders]
    known = [minutes for minutes in core_minutes if minutes is not None]
    return {
        **describe_training(weights_of(exp_dir, found.table["chosen"]).parent),
        **dict.fromkeys(_OF_EPOCHS),
        "minutes": found.minutes(),
        "core_minutes": sum(known) if len(known) == len(folders) else None,
        "seed": None,
        "digest_but_seed": json_digest(Provenance.read(exp_dir / ORIGIN).compared()),
    }


def gather(args: Any, found: ScoredSeeds, config: SayConfig) -> Dict[str, Any]:
    """The content of result.json."""
    spec, made_by = FeatureSpec.read(args.exp_dir / SPEC), read_optional(args.exp_dir / "env.json")
    training, said = trained(args.exp_dir, found), next(iter(found.chosen.values()))
    device = training["device"] or "cpu"
    command = made_by.get("command") or ""
    kept = ("git", "versions", "cpu", "cpu_count")
    return {
        "feature_type": spec.name,
        "recipe": args.recipe + (CONTROL if found.table["shuffled_text"] else ""),
        "device": device,
        "search": None if config == SayConfig() else config.name,
        "device_name": said["device_name"] if device == "cpu" else None,
        "command": portable_command(args.run_command or command, ROOT),
        "settings_digests": [args.settings_digest] if args.settings_digest else None,
        "commands": {"train": portable_command(command, ROOT)},
        "sets": found.sets,
        "features": describe_features(args.feature_dir, spec),
        "training": training,
        "decoding": {
            "method": config.name,
            "suffix": f"seed {found.table['chosen']} of {len(found.table['seeds'])}, by {found.table['rule']}",
            "git": found.said_by(),
        },
        "environment": {**{key: made_by.get(key) for key in kept}, "commits": commits_in(made_by)},
        "seeds": found.to_json(),
    }


def main() -> None:
    """Score the splits, and write the table and result.json."""
    args = get_parser().parse_args()
    config = override(SayConfig(), args)
    splits = some_names_in(args.splits, "splits")
    found = ScoredSeeds.read(args.exp_dir, splits, config.name)
    print(found.shown(), end="")
    result = gather(args, found, config)
    table, path = args.exp_dir / "said" / f"seeds-{config.name}.json", args.exp_dir / "result.json"
    write_json(table, found.to_json())
    write_json(path, result)
    written: List[Path] = [table, path]
    if args.results_dir:
        written.append(add_to_ledger(args.results_dir, result))
    LOG.info(f"Wrote {', '.join(map(str, written))}")


if __name__ == "__main__":
    run_script(main)
