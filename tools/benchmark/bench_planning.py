#!/usr/bin/env python3
"""Memory and time that stages 2 to 4 take beside what they compute: choice of cuts, plan, journal, archive, manifests.

Nothing is fitted, codes are made up and no audio is read. Each stage has a process of its own; its peaks are above that
of a hundred cuts, sizes have to ascend, and beside them stands what the cuts of such a split take as a list.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List

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
from icefall_discrete.extraction.check import check_folder
from icefall_discrete.extraction.encoding import EncodedBatch, Flips, Job
from icefall_discrete.extraction.fitting import fit_tokenizer

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0)
SECONDS = 2.0
FEW = 100


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Sizes of the split."""

    cuts: str = setting("1000,10000,100000", "how many cuts, ascending, joined by commas")
    stage: str = setting("", "what a child process measures: list, fit, extract or check")
    folder: str = setting("", "where a child process finds the splits")


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

    name, spec, sample_rate_hz, needs_language = SPEC.name, SPEC, SPEC.sample_rate_hz, False
    needs_fit, is_fitted = True, False

    def fit(self, audio: Any, state_dir: Path, seed: int) -> None:
        """It learns nothing."""

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


def held(manifest: Path, folder: Path) -> None:
    """The cuts as a list."""
    list(load_cuts(manifest))


def fitted(manifest: Path, folder: Path) -> None:
    """Choose and order all cuts for a fit, without one."""
    fit_tokenizer(StandIn(), load_audio_cuts(manifest, lazy=True, distinct=True), folder, 0)


def extracted(manifest: Path, folder: Path) -> None:
    """Extract the split without encoding."""
    extraction.extract(load_audio_cuts(manifest, lazy=True), StandIn, folder, "train")


def checked(manifest: Path, folder: Path) -> None:
    """Check what was extracted."""
    check_folder(folder, ["train"], "train")


STAGES: Dict[str, Callable[[Path, Path], None]] = {
    "list": held,
    "fit": fitted,
    "extract": extracted,
    "check": checked,
}


def measure(config: BenchConfig, sizes: List[int]) -> None:
    """Run a stage for each size, and print its peaks and times."""
    extraction.encode_in_order = made_up_codes
    least = 0.0
    for number in (FEW, *sizes):
        start = time.process_time()
        STAGES[config.stage](Path(config.folder) / f"{number}.jsonl.gz", Path(config.folder) / str(number))
        seconds, least = time.process_time() - start, least or peak_memory_mib()
        print(json.dumps({"cuts": number, "mib": peak_memory_mib() - least, "speed": number / seconds}), flush=True)


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    sizes = [int(number) for number in config.cuts.split(",")]
    if config.stage:
        measure(config, sizes)
        return
    with tempfile.TemporaryDirectory() as folder:
        for number in (FEW, *sizes):
            write_cuts(Path(folder) / f"{number}.jsonl.gz", made_up_cuts(number))
        found = {}
        for stage in STAGES:
            command = [sys.executable, __file__, "--cuts", config.cuts, "--stage", stage, "--folder", folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[stage] = [json.loads(line) for line in done.stdout.splitlines()][1:]
    print("| cuts | their list, MiB | fit, MiB | extraction, MiB | check, MiB | fit, cuts/s | extraction | check |")
    print("|---|---|---|---|---|---|---|---|")
    for rows in zip(*found.values()):
        memory = " | ".join(f"{row['mib']:.0f}" for row in rows)
        speed = " | ".join(f"{row['speed']:.0f}" for row in rows[1:])
        print(f"| {rows[0]['cuts']} | {memory} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
