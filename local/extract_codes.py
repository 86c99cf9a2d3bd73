#!/usr/bin/env python3
"""Stage 3: encode the cuts of one split, speed-perturbed copies included; a killed run continues where it was."""

import functools
from pathlib import Path
from typing import Any, Callable

from icefall_discrete.base.addresses import readable
from icefall_discrete.base.flags import SEED, Number, ScriptParser, add_flags, override
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import load_audio_cuts
from icefall_discrete.experiment.transcription_files import save_tokenizer
from icefall_discrete.extraction.extract import ExtractionConfig, extract
from icefall_discrete.extraction.jobs import dask_client, extract_in_group, extract_with, in_group
from icefall_discrete.tokenizers import load_tokenizer


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--feature-type", required=True, help="name of a JSON file in a conf dir, or a path to one")
    parser.add_argument("--conf-dir", type=Path, action="append", default=[], help="of feature types; repeatable")
    parser.add_argument(
        "--cuts", type=readable, required=True, help="manifest of the split, cuts with recordings, or its address"
    )
    parser.add_argument("--split", required=True, help="name of the output files, such as train, dev, test")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the feature type, data/features/<type>")
    parser.add_argument(
        "--seed",
        type=SEED,
        default=42,
        help="of tokenizers that draw random numbers (default: 42)",
    )
    parser.add_argument("--dask-scheduler", default="", help="address of a Dask scheduler whose workers do the shards")
    parser.add_argument(
        "--dask-workers", type=Number(int, minimum=0), default=0, help="start so many Dask workers here (default: 0)"
    )
    add_flags(parser, ExtractionConfig)
    return parser


def extract_by_dask(args: Any, make_tokenizer: Callable[[], Any], config: ExtractionConfig) -> None:
    """Extract in the workers of a Dask cluster, which must see the same files under the same names."""
    read_cuts = functools.partial(load_audio_cuts, args.cuts, lazy=True)
    with dask_client(args.dask_scheduler, args.dask_workers) as client:
        extract_with(client.get_executor(), read_cuts, make_tokenizer, args.out_dir, args.split, config, args.seed)


def main() -> None:
    """Extract one split, or a shard of it."""
    args = get_parser().parse_args()
    make_tokenizer = functools.partial(load_tokenizer, args.feature_type, args.conf_dir, args.out_dir)
    config = override(ExtractionConfig(), args)
    if args.dask_scheduler or args.dask_workers:
        extract_by_dask(args, make_tokenizer, config)
    else:
        run = extract_in_group if in_group() else extract
        run(load_audio_cuts(args.cuts, lazy=True), make_tokenizer, args.out_dir, args.split, config, args.seed)
    save_tokenizer(load_tokenizer(args.feature_type, args.conf_dir, args.out_dir), args.out_dir)


if __name__ == "__main__":
    run_script(main)
