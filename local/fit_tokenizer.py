#!/usr/bin/env python3
"""Stage 2: fit the feature type's tokenizer (k-means, codec, encoder) on the training cuts, if it needs fitting."""

import functools
import logging
from pathlib import Path

import torch

from icefall_discrete.base.addresses import readable
from icefall_discrete.base.flags import SEED, Number, ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import MOST_PROCESSES
from icefall_discrete.data.cuts import load_audio_cuts
from icefall_discrete.extraction.fitting import MAX_UNREADABLE_FRACTION, fit_tokenizer
from icefall_discrete.extraction.workers import placed, share_frames
from icefall_discrete.tokenizers import load_tokenizer


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-type", required=True, help="name of a JSON file in a conf dir, or a path to one")
    parser.add_argument("--conf-dir", type=Path, action="append", default=[], help="of feature types; repeatable")
    parser.add_argument(
        "--cuts", type=readable, required=True, help="manifest <corpus>_cuts_<split>.jsonl.gz to fit on, or its address"
    )
    parser.add_argument("--train-split", default="train", help="start of the training split's name (default: train)")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the feature type, data/features/<type>")
    parser.add_argument(
        "--seed",
        type=SEED,
        default=42,
        help="of the subset, its order and the clusters (default: 42)",
    )
    parser.add_argument(
        "--max-hours", type=Number(float, minimum=0), default=0.0, help="fit on a random subset; 0: all (default: 0)"
    )
    parser.add_argument(
        "--max-unreadable-fraction",
        type=Number(float, minimum=0, maximum=1),
        default=MAX_UNREADABLE_FRACTION,
        help=f"largest part of the cuts that may be unreadable (default: {MAX_UNREADABLE_FRACTION})",
    )
    parser.add_argument("--device", default="cpu", help="where networks run: cpu, cuda, cuda:N or auto (default: cpu)")
    parser.add_argument(
        "--nj",
        type=Number(int, minimum=1, maximum=MOST_PROCESSES),
        default=1,
        help="processes that compute what is clustered, a thread each (default: 1)",
    )
    return parser


def require_training_split(cuts: Path, train_split: str) -> None:
    """Raise ValueError unless the manifest's name says that it is of the training split."""
    split = cuts.name.split(".jsonl")[0].rsplit("_cuts_", 1)[-1]
    if not split.startswith(train_split):
        raise ValueError(
            f"{cuts} is not the training split '{train_split}'; a tokenizer is fitted on training data only, since "
            "one that has seen the test set flatters it (name another training split with --train-split)."
        )


def main() -> None:
    """Fit, or say why there is nothing to do."""
    args = get_parser().parse_args()
    require_training_split(args.cuts, args.train_split)
    make_tokenizer = functools.partial(load_tokenizer, args.feature_type, args.conf_dir, args.out_dir)
    tokenizer = placed(make_tokenizer, args.device, "float32")
    torch.set_num_threads(1)
    share_frames(tokenizer, make_tokenizer, args.nj)
    cuts, unreadable = load_audio_cuts(args.cuts, lazy=True, distinct=True), args.max_unreadable_fraction
    if fit_tokenizer(tokenizer, cuts, args.out_dir, args.seed, args.max_hours, unreadable):
        logging.info("wrote the fitted state to %s", args.out_dir)


if __name__ == "__main__":
    run_script(main)
