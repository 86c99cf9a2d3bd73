#!/usr/bin/env python3
"""Within stage 7: make audio of the codes that enhancement or a perceptual model has found, a FLAC file each.

The tokenizer of the codes decodes them; with --vocoder-exp-dir a vocoder of the same codes does.
"""

import logging
from pathlib import Path

from tqdm import tqdm

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.sounding import Sounder, sound_split
from icefall_discrete.systems.code_files import CodeFiles
from icefall_discrete.systems.vocoder.files import write_said

LOG = logging.getLogger("sound")


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--exp-dir", type=Path, required=True, help="folder of the experiment, whose splits were decoded"
    )
    parser.add_argument(
        "--feature-dir", type=Path, required=True, help="folder with <split>.jsonl.gz, and their sources"
    )
    parser.add_argument(
        "--vocoder-exp-dir", type=Path, help="a trained vocoder of the same codes (default: the tokenizer)"
    )
    return parser


def main() -> None:
    """Make audio of what was decoded last."""
    args = get_parser().parse_args()
    experiment = Experiment(args.exp_dir)
    finds_none = "finds no codes; give the folder of an experiment that does"
    files, splits = experiment.stages().prediction.last_of(
        CodeFiles, args.exp_dir, experiment.settings().system, finds_none
    )
    sounder = Sounder(args.exp_dir, experiment.spec(), args.vocoder_exp_dir)
    for split in splits:
        files.forget(split)
        lines = list(tqdm(sound_split(files, split, args.feature_dir, sounder), desc=f"audio of {split}", unit="cut"))
        write_said(files.listed(split), lines)
        LOG.info(f"{split}: {len(lines)} files; {files.listed(split)}")


if __name__ == "__main__":
    run_script(main)
