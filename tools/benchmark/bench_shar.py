#!/usr/bin/env python3
"""Memory and speed of an epoch of batches from a manifest in memory and from Shar, as the corpus is replicated.

Codes are random; each reading runs in a process of its own, and its peak is given above that of the same process
without a corpus.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from icefall_discrete.base.environment import peak_memory_mib
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, load_cuts, write_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.data.loaders import LoaderConfig, epoch_sampler
from icefall_discrete.data.shar import SharConfig, SharSource, export_shar

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0)
READINGS = ("nothing", "manifest", "shar")


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Size of the corpus."""

    cuts: int = setting(1000, "cuts of the corpus that is replicated, of 1 to 20 s")
    times: str = setting("1,10,100", "how often, joined by commas")
    max_duration: float = setting(600.0, "seconds of audio in a batch")
    folder: str = setting("", "the corpus of a child process")
    reading: str = setting("", "what a child process does: make, or one of " + ", ".join(READINGS))
    replicas: int = setting(1, "copies that a child process makes")


def make(config: BenchConfig, folder: Path) -> Dict[str, Any]:
    """Write the corpus as archive and manifest, and from there as Shar; the cuts and seconds of the latter."""
    rng = np.random.default_rng(0)
    cuts: List[MonoCut] = []
    with FlatArchiveWriter(folder / "train.codes") as writer:
        for index in range(config.cuts):
            size = int(rng.integers(50, 1000))
            key = writer.write(str(index), rng.integers(0, 500, (size, 1)).astype(np.int16))
            text = " ".join(rng.choice(["forty", "two", "words"], size // 20 + 1))
            supervision = SupervisionSegment(f"cut-{index}", "recording", 0.0, size / 50, text=text, language="en")
            source = AudioSource("file", [0], f"audio/{index % 100}/recording-{index}.flac")
            recording = Recording(f"recording-{index}", [source], 16000, size * 320, size / 50)
            cut = MonoCut(f"cut-{index}", 0.0, size / 50, 0, recording=recording, supervisions=[supervision])
            cuts.append(attach_stored(cut, [key], SPEC, "train.codes"))
    copies = (dataclasses.replace(cut, id=f"{cut.id}-{copy}") for copy in range(config.replicas) for cut in cuts)
    write_cuts(folder / "train.jsonl.gz", copies)
    SPEC.write(folder / "spec.json")
    start = time.process_time()
    summary = export_shar(load_cuts(folder / "train.jsonl.gz", lazy=True), SPEC, folder / "shar", SharConfig())
    return {"cuts": summary["num_cuts"], "sec": time.process_time() - start}


def read(config: BenchConfig, folder: Path) -> Dict[str, Any]:
    """Draw one epoch; the cuts seen, seconds and peak memory."""
    start, seen = time.process_time(), 0
    if config.reading != "nothing":
        source = load_cuts(folder / "train.jsonl.gz") if config.reading == "manifest" else None
        cuts = source if source is not None else SharSource(folder / "shar", SPEC.name).cuts(seed=0)
        loader = LoaderConfig(max_duration=config.max_duration)
        for batch in epoch_sampler(cuts, loader, epoch=1, seed=0):
            seen += len(collate(batch, SPEC)["cut_ids"])
    return {"cuts": seen, "sec": time.process_time() - start, "mib": peak_memory_mib()}


def in_child(config: BenchConfig, folder: Path, reading: str, replicas: int) -> Dict[str, Any]:
    """Run `make` or a reading in a fresh process."""
    flags = {"cuts": config.cuts, "max-duration": config.max_duration, "folder": folder, "reading": reading}
    command = [sys.executable, __file__, "--replicas", str(replicas)]
    command += [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    if config.reading == "make":
        print(json.dumps(make(config, Path(config.folder))))
        return
    if config.reading:
        print(json.dumps(read(config, Path(config.folder))))
        return
    print("| cuts | manifest in memory, MiB | Shar, MiB | manifest, cuts/s | Shar, cuts/s | Shar written, cuts/s |")
    print("|---|---|---|---|---|---|")
    for replicas in map(int, config.times.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            made = in_child(config, Path(folder), "make", replicas)
            found = {reading: in_child(config, Path(folder), reading, replicas) for reading in READINGS}
        base, manifest, shar = (found[reading] for reading in READINGS)
        if not manifest["cuts"] == shar["cuts"] == replicas * config.cuts:
            raise RuntimeError(f"{manifest['cuts']} and {shar['cuts']} cuts were read of {replicas * config.cuts}.")
        memory = " | ".join(f"{one['mib'] - base['mib']:.0f}" for one in (manifest, shar))
        speed = " | ".join(f"{one['cuts'] / one['sec']:.0f}" for one in (manifest, shar, made))
        print(f"| {replicas * config.cuts} | {memory} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
