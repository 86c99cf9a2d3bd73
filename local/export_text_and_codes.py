#!/usr/bin/env python3
"""Write texts and codes of a split as lines of JSON, in SpeechInstruct's form, for whatever reads such data.

Example: local/export_text_and_codes.py --feature-dir data/features/mfcc_km500 --split train --out train.jsonl
"""

import logging
from pathlib import Path
from typing import Iterator

from lhotse.cut import Cut
from tqdm import tqdm

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.provenance import Provenance, digest_of_file
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.checksums import known_checksums
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.experiment.recipe_files import SHARED_DIR, read_recipe
from icefall_discrete.systems.speech_lm.data_file import write_file
from icefall_discrete.systems.speech_lm.settings import TaskConfig
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary

LOG = logging.getLogger("export_text_and_codes")


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument("--split", default="train", help="split to write (default: train)")
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as train.jsonl")
    parser.add_argument(
        "--recipe-config",
        type=Path,
        default=SHARED_DIR / "speech_lm_turns.json",
        help="recipe whose section task has the layouts (default: SpeechGPT's turns)",
    )
    parser.add_argument(
        "--layout", action="append", default=[], help="a layout, such as asr={speech}{answer}{text}<eos>; repeatable"
    )
    parser.add_argument("--prefix", default="", help="what stands before every conversation (default: nothing)")
    return parser


def shown(manifest: Path, split: str) -> Iterator[Cut]:
    """The cuts of a manifest, under a progress bar."""
    yield from tqdm(load_cuts(manifest, lazy=True), desc=f"write {split}", unit="cut")


def main() -> None:
    """Write what is not there yet."""
    args = get_parser().parse_args()
    manifest, spec = args.feature_dir / f"{args.split}.jsonl.gz", FeatureSpec.read(args.feature_dir / "spec.json")
    task = read_recipe(args.recipe_config).get("task", {})
    if not task and not args.layout:
        raise ValueError(
            f"{args.recipe_config} has no section 'task' with layouts; give a recipe of system speech_lm, or --layout."
        )
    lines = tuple(args.layout) or from_dict(TaskConfig, task, str(args.recipe_config)).layouts
    layouts = TaskConfig(layouts=lines).read(Vocabulary(spec.codebook_sizes))
    inputs = {"manifest": digest_of_file(manifest), "archives": known_checksums(manifest)}
    origin = Provenance(inputs, {"layouts": lines, "prefix": args.prefix})
    number = write_file(args.out, shown(manifest, args.split), spec, layouts, args.prefix, origin)
    LOG.info(f"{args.out}: {number} lines" if number else f"{args.out} exists: nothing to do")


if __name__ == "__main__":
    run_script(main)
