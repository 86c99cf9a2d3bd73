#!/usr/bin/env python3
"""Token stability: unit edit distance between the codes of clean and of noisy audio, for each noisy set of a split."""

import logging
from pathlib import Path
from typing import Any, Dict, Sequence

from tqdm import tqdm

from icefall_discrete.audio.noise import condition_of
from icefall_discrete.base import environment
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_feature_cuts, load_frames
from icefall_discrete.metrics.unit_edit_distance import UnitEditDistance
from icefall_discrete.results.noise import stability_text

Json = Dict[str, Any]


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with the codes of clean and noisy sets")
    parser.add_argument("--split", default="test", help="the clean split (default: test)")
    parser.add_argument("--noisy-splits", help="noisy sets, by commas (default: all of the split in the folder)")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    return parser


def compare(feature_dir: Path, clean: Json, noisy_split: str, spec: FeatureSpec) -> Json:
    """Compare the codes of a noisy set with those of its clean cuts (by id).

    Raises:
      ValueError: for a cut that does not say, or name rightly, which clean cut it was made from.
    """
    distance, compared = UnitEditDistance(spec.num_codebooks), 0
    for cut in tqdm(load_cuts(feature_dir / f"{noisy_split}.jsonl.gz"), desc=noisy_split, unit="cut"):
        clean_id = (cut.custom or {}).get("clean_id")
        if clean_id is None:
            raise ValueError(f"cut {cut.id} of {noisy_split} does not say what its clean cut is; make_noisy.py does.")
        if clean_id in clean:  # else the clean one was dropped
            distance.add(load_frames(clean[clean_id], spec), load_frames(cut, spec))
            compared += 1
    if not compared:
        raise ValueError(f"no cut of {noisy_split} has its clean cut in {feature_dir}; extract the clean split first.")
    return {
        "num_utterances": compared,
        "ued": round(distance.percent, 4),
        "ued_without_repetitions": round(distance.percent_without_repetitions, 4),
        "streams": [
            [round(stream.percent, 2), round(stream.percent_without_repetitions, 2)] for stream in distance.streams
        ],
    }


def require_noisy(names: Sequence[str], split: str) -> None:
    """Raise ValueError for a name that is none of a noisy version of the split."""
    other = next((name for name in names if condition_of(name, split) is None), None)
    if other is not None:
        raise ValueError(
            f"--noisy-splits has '{other}', expected noisy versions of '{split}', such as {split}-white-snr10; "
            "correct the name, or --split."
        )


def main() -> None:
    """Compare every noisy set with the clean split."""
    args = get_parser().parse_args()
    cuts, spec = load_feature_cuts(args.feature_dir / f"{args.split}.jsonl.gz")
    names = [path.name[: -len(".jsonl.gz")] for path in sorted(args.feature_dir.glob(f"{args.split}-*.jsonl.gz"))]
    if args.noisy_splits:
        names = some_names_in(args.noisy_splits, "noisy-splits")
        require_noisy(names, args.split)
    result: Json = {"feature_type": spec.name, "kind": spec.kind, "split": args.split, "sets": {}}
    if spec.kind == "continuous":
        logging.info(f"{spec.name} is continuous: it has no units to compare")
    else:
        clean = {cut.id: cut for cut in cuts}
        noisy = [name for name in names if condition_of(name, args.split)]
        if not noisy:
            raise ValueError(
                f"{args.feature_dir} has no noisy version of '{args.split}'; make some with make_noisy.py, and extract "
                "their codes, or correct --split."
            )
        result["sets"] = {name: compare(args.feature_dir, clean, name, spec) for name in noisy}
        print(stability_text(result))
    described = environment.describe()
    write_json(args.output, {**result, "environment": {key: described[key] for key in ("git", "versions")}})


if __name__ == "__main__":
    run_script(main)
