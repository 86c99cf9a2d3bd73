#!/usr/bin/env python3
"""Memory and time that extraction takes beside encoding: plan, journal, archive, manifest.

Codes are made up and no audio is read. Peaks are above that of a hundred cuts, sizes have to ascend; beside them
stands what the cuts of such a split take as a list.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from icefall_discrete.base.environment import peak_memory_mib
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_audio_cuts, load_cuts, write_cuts
from icefall_discrete.extraction import extract as extraction
from icefall_discrete.extraction.encoding import EncodedBatch, Flips, Job

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0)
SECONDS = 2.0
FEW = 100


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Sizes of the split."""

    cuts: str = setting("1000,10000,100000", "how many cuts, ascending, joined by commas")


def made_up_cuts(number: int) -> Iterator[MonoCut]:
    """Cuts of recordings that are nowhere, with a transcript each."""
    for index in range(number):
        name = f"utterance-{index:09d}"
        source = AudioSource("file", [0], f"audio/{index % 100:02d}/{name}.flac")
        recording = Recording(name, [source], 16000, int(SECONDS * 16000), SECONDS)
        said = SupervisionSegment(name, name, 0.0, SECONDS, text="forty two words", language="en", speaker="somebody")
        yield MonoCut(name, 0.0, SECONDS, 0, recording=recording, supervisions=[said])


class StandIn:
    """What extraction asks of a tokenizer before it encodes."""

    spec, sample_rate_hz, needs_language = SPEC, SPEC.sample_rate_hz, False

    def why_not_elsewhere(self) -> str:
        """It has no network."""
        return "it has no network"

    def to(self, device: str, dtype: str) -> None:
        """It is nowhere."""

    def codebooks(self) -> None:
        """It has none."""


def made_up_codes(jobs: Iterable[Job], *_: Any) -> Iterator[EncodedBatch]:
    """In place of `encode_in_order`: the same codes for every cut."""
    codes = np.zeros((int(SECONDS * SPEC.frame_rate_hz), 1), np.int16)
    for index, cuts in jobs:
        yield EncodedBatch(index, [codes] * len(cuts), 0.0, Flips())


def extracted(manifest: Path, folder: Path) -> float:
    """Extract the split without encoding; processor seconds."""
    start = time.process_time()
    extraction.extract(load_audio_cuts(manifest, lazy=True), StandIn, folder, "train")
    return time.process_time() - start


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    extraction.encode_in_order = made_up_codes
    sizes = [int(number) for number in config.cuts.split(",")]
    with tempfile.TemporaryDirectory() as name:
        manifests = {number: Path(name) / f"{number}.jsonl.gz" for number in (FEW, *sizes)}
        for number, manifest in manifests.items():
            write_cuts(manifest, made_up_cuts(number))
        extracted(manifests[FEW], Path(name) / "few")
        least, rows = peak_memory_mib(), []
        for number in sizes:  # all of these before a list is made, as a peak never falls
            seconds = extracted(manifests[number], Path(name) / str(number))
            rows.append((number, peak_memory_mib() - least, number / seconds))
        print("| cuts | extraction, MiB | cuts a second | their list, MiB |\n|---|---|---|---|")
        for number, mib, speed in rows:
            held = list(load_cuts(manifests[number]))
            print(f"| {len(held)} | {mib:.0f} | {speed:.0f} | {peak_memory_mib() - least:.0f} |", flush=True)
            del held


if __name__ == "__main__":
    main()
