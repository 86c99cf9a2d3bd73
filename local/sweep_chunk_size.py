#!/usr/bin/env python3
"""What it costs to wait less: error rates of one streaming model with chunks of several sizes, and of the whole.

Writes <exp-dir>/chunk_sizes-<split>.json and .md, a table of size, latency and errors, and prints it.
"""

import dataclasses
from typing import Any, Dict, Optional, Tuple

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.experiment.sweeps import sweep_parser, swept
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer
from icefall_discrete.inference.streaming.waits import causal_reach, waits_of
from icefall_discrete.results.chunk_sizes import chunk_table
from icefall_discrete.systems.asr.chunk_sweep import ChunkErrors, errors_by_chunk
from icefall_discrete.systems.asr.streaming_model import StreamingConfig


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
    return sweep_parser(__doc__, SweepConfig)


def main() -> None:
    """Recognise the split once for each shape, write and print what came of it."""
    args = get_parser().parse_args()
    asked = override(SweepConfig(), args)
    decode, run, trained, cuts = swept(args, asked.split)
    spec = trained.spec
    reach = causal_reach(load_experiment_tokenizer(args.exp_dir, spec))

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
    name = f"chunk_sizes-{asked.split}"
    facts = {"split": asked.split, "decoding_method": decode.decoding_method}
    write_json(args.exp_dir / f"{name}.json", {**facts, "rows": rows})
    write_text(args.exp_dir / f"{name}.md", table + "\n")
    print(table)


if __name__ == "__main__":
    run_script(main)
