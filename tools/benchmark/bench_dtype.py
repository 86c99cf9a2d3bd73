#!/usr/bin/env python3
"""Codes of real audio in other number formats: how long they take, and how many differ from those of float32.

The tokenizer of a folder of features encodes cuts one by one on the CPU, with one thread, each cut in every format in
turn; processor time. What is counted as the networks' part is all of it, k-means too, which is float32 whatever the
format.

Example: tools/benchmark/bench_dtype.py --feature-dir egs/asterisk/ASR/data/features/whisper_base_l5l0_2km1000 \\
  --cuts egs/asterisk/ASR/data/manifests/asterisk_cuts_test.jsonl.gz
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Dict, List, Tuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.extraction.workers import placed
from icefall_discrete.tokenizers import load_tokenizer

FIRST = "float32"


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """What is measured."""

    feature_dir: str = setting("", "folder of features, whose fitted tokenizer encodes")
    cuts: str = setting("", "manifest of what is encoded")
    num_cuts: int = setting(0, "its first cuts only; 0: all", minimum=0)
    dtype: Tuple[str, ...] = setting(("bfloat16",), "formats to hold against float32")


@dataclasses.dataclass
class Tally:
    """Seconds that a format took, and codes of it that differ, each stream of codes by itself."""

    seconds: float = 0.0
    differ: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(1))

    def add(self, seconds: float, codes: Tensor, expected: Tensor) -> None:
        """Note a cut's codes (T, K)."""
        self.seconds += seconds
        self.differ = self.differ + (codes != expected).sum(dim=0)


def measure(config: BenchConfig) -> Tuple[Dict[str, Tally], float, int]:
    """The tallies by format, seconds of audio, and frames of codes."""
    folder = Path(config.feature_dir)
    formats = list(dict.fromkeys([FIRST, *config.dtype]))
    tokenizers = {
        dtype: placed(lambda: load_tokenizer(folder.name, [folder / "tokenizer"], folder), "cpu", dtype)
        for dtype in formats
    }
    tallies = {dtype: Tally() for dtype in formats}
    cuts = list(load_cuts(config.cuts))[: config.num_cuts or None]
    frames, warm = 0, cuts[:1]
    for index, cut in enumerate([*warm, *cuts]):
        samples = load_samples(cut, tokenizers[FIRST].sample_rate_hz)
        found: List[Tensor] = []
        for dtype, tokenizer in tokenizers.items():
            began = time.process_time()
            found.append(tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0])
            if index >= len(warm):
                tallies[dtype].add(time.process_time() - began, found[-1], found[0])
        frames += len(found[0]) * (index >= len(warm))
    return tallies, sum(cut.duration for cut in cuts), frames


@torch.inference_mode()
def main() -> None:
    """Print a line for each format."""
    config = config_from_flags(BenchConfig, __doc__)
    if not config.feature_dir or not config.cuts:
        raise ValueError("--feature-dir and --cuts are needed: a folder of features, and a manifest.")
    torch.set_num_threads(1)
    tallies, seconds, frames = measure(config)
    print(f"{Path(config.feature_dir).name}, {seconds:.0f} s, torch {torch.__version__}")
    print("| numbers | audio s a second (cpu) | times float32 | codes that differ, each stream |")
    print("|---|---|---|---|")
    for dtype, tally in tallies.items():
        ratio = tallies[FIRST].seconds / tally.seconds
        shares = ", ".join(f"{share:.2%}" for share in (tally.differ / frames).tolist())
        print(f"| {dtype} | {seconds / tally.seconds:.2f} | {ratio:.2f} | {shares} |")


if __name__ == "__main__":
    main()
