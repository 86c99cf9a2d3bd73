#!/usr/bin/env python3
"""Export extracted cuts as lhotse Shar, for corpora that do not fit in memory; one set of fields a feature type."""

import logging
import random
from pathlib import Path

from lhotse import CutSet
from tqdm import tqdm

from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.flags import SEED, ScriptParser, add_flags, override
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.checksums import require_whole_archives
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.shar import ORIGIN_FILE, SharConfig, export_shar, is_exported, origin_of

LOG = logging.getLogger("export_shar")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument("--splits", default="train", help="splits to export, joined by commas (default: train)")
    parser.add_argument("--shar-dir", type=Path, required=True, help="output folder; a folder for each split")
    parser.add_argument(
        "--seed",
        type=SEED,
        default=42,
        help="of the order of the cuts (default: 42)",
    )
    add_flags(parser, SharConfig)
    return parser


def main() -> None:
    """Export the splits that are not there yet."""
    args = get_parser().parse_args()
    config = override(SharConfig(), args)
    for split in some_names_in(args.splits, "splits"):
        manifest = args.feature_dir / f"{split}.jsonl.gz"
        spec = FeatureSpec.read(args.feature_dir / "spec.json")
        folder = args.shar_dir / split
        origin = origin_of(manifest, config, args.seed)

        def cuts(manifest: Path = manifest) -> CutSet:
            return load_cuts(manifest, lazy=True).shuffle(random.Random(args.seed), config.shuffle_buffer)

        with at_work(args.shar_dir / f"{LOCK_FILE}-{split}", str(folder)):
            if is_exported(folder, spec, origin, cuts):
                LOG.info(f"{folder / spec.name} exists: nothing to do")
                continue
            require_whole_archives(manifest)
            summary = export_shar(tqdm(cuts(), desc=f"export {split}", unit="cut"), spec, folder, config)
            origin.write(folder / spec.name / ORIGIN_FILE)
        LOG.info(f"{folder / spec.name}: {summary['num_cuts']} cuts, {hours_text(summary['duration_sec'] / 3600)} h")


if __name__ == "__main__":
    run_script(main)
