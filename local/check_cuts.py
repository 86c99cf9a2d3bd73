#!/usr/bin/env python3
"""Stage 4: read every cut back, hold it against each promise of spec.json, write a one-page report."""

import logging
from pathlib import Path

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import names_in, some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.extraction.check import check_folder, figures_of, report_text


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder of the feature type")
    parser.add_argument("--splits", default="train,dev,test", help="splits to check (default: train,dev,test)")
    parser.add_argument("--train-split", default="train", help="split whose code use is reported (default: train)")
    parser.add_argument(
        "--facts", default="text", help="what each cut must have, by commas, such as language,speaker (default: text)"
    )
    return parser


def main() -> None:
    """Check the folder; write report.txt and report.json."""
    args = get_parser().parse_args()
    spec = FeatureSpec.read(args.feature_dir / "spec.json")
    reports = check_folder(
        args.feature_dir, some_names_in(args.splits, "splits"), args.train_split, names_in(args.facts)
    )
    figures = figures_of(reports, spec, args.train_split)
    write_json(args.feature_dir / "report.json", figures)
    write_text(args.feature_dir / "report.txt", report_text(figures, spec))
    logging.info("%s:\n%s", args.feature_dir / "report.txt", report_text(figures, spec))


if __name__ == "__main__":
    run_script(main)
