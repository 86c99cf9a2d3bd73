#!/usr/bin/env python3
"""What it costs to wait less: error rates of one streaming model with chunks of several sizes, and of the whole.

Writes <exp-dir>/chunk_sizes-<split>.json and .md, a table of size, latency and errors, and prints it.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer, load_recipe, settings_in
from icefall_discrete.inference.streaming.waits import causal_reach, waits_of
from icefall_discrete.results.chunk_sizes import chunk_table
from icefall_discrete.systems.asr.chunk_sweep import ChunkErrors, errors_by_chunk
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.prediction import RunConfig

LOG = logging.getLogger("sweep_chunk_size")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What is tried, on what."""

    split: str = setting("test", "split to recognise")
    chunk_sizes: Tuple[int, ...] = setting(
        (8, 16, 32), "chunk sizes in frames at the encoder's input, each once", minimum=1, distinct=True
    )
    left_contexts: Tuple[int, ...] = setting(
        (128,), "left contexts in frames at the encoder's input, each with every chunk size", minimum=0, distinct=True
    )

    def __post_init__(self) -> None:
        check_settings(self)


def get_parser() -> ScriptParser:
    """The flags: files, checkpoints, what is tried, and the search."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder with spec.json and <split>.jsonl.gz")
    parser.add_argument(
        "--recipe-config", type=Path, help="recipe with sections average, decode (default: <exp-dir>/recipe.json)"
    )
    add_flags(parser, SweepConfig)
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, DecodeConfig, "decode")
    add_flags(parser, RunConfig)
    return parser


def main() -> None:
    """Recognise the split once for each shape, write and print what came of it."""
    args = get_parser().parse_args()
    recipe = load_recipe(args.exp_dir, args.recipe_config)
    choice, decode = settings_in(recipe, f"the recipe of {args.exp_dir}")
    choice, decode = override(choice, args, "average"), override(decode, args, "decode")
    asked, run, experiment = override(SweepConfig(), args), override(RunConfig(), args), Experiment(args.exp_dir)
    settings, spec = experiment.settings(), experiment.spec()
    if settings.system != "asr":
        raise ValueError(f"{args.exp_dir} holds a system '{settings.system}', no recogniser: nothing to sweep.")
    reach = causal_reach(load_experiment_tokenizer(args.exp_dir, spec))
    cuts, _ = load_feature_cuts(args.feature_dir / f"{asked.split}.jsonl.gz", spec)
    cuts = chosen_languages(cuts, settings.filter.languages)
    trained = trained_system(experiment, resolve_choice(choice, args.exp_dir), run.torch_device())

    def row(found: ChunkErrors) -> Dict[str, Any]:
        streams: Optional[StreamingConfig] = found.streams
        waits = None if streams is None else waits_of(trained.network, spec, reach, streams)
        return {
            "chunk_size": None if streams is None else streams.chunk_size,
            "chunk_sec": None if waits is None else waits.chunk_sec,
            "left_context_frames": None if streams is None else streams.left_context_frames,
            "left_context_sec": None
            if streams is None or waits is None
            else streams.left_context_frames * waits.chunk_sec / streams.chunk_size,
            "waits_sec": None if waits is None else waits.longest_sec,
            "wer": found.words.known_rate,
            "cer": found.characters.known_rate,
            "rtf": found.rtf,
        }

    shapes = [(size, left) for left in asked.left_contexts for size in asked.chunk_sizes]
    rows = [row(found) for found in errors_by_chunk(trained, cuts, decode, run, shapes)]
    table = chunk_table(rows, asked.split)
    stem = args.exp_dir / f"chunk_sizes-{asked.split}"
    facts = {"split": asked.split, "decoding_method": decode.decoding_method}
    write_json(stem.with_suffix(".json"), {**facts, "rows": rows})
    write_text(stem.with_suffix(".md"), table + "\n")
    print(table)


if __name__ == "__main__":
    run_script(main)
