#!/usr/bin/env python3
"""Codes on disk: our flat archive against lhotse's HDF5, its one file an utterance, and strings in a JSON-lines file.

The same random codes are written by each, and the same utterances read back in the same random order, in one process,
from warm caches. Strings in JSON lines are found by the position of their line, which a manifest read front to back
does not have: reading from the start instead would be slower by as much as there are lines. Readers are checked to
return what was written.
"""

import dataclasses
import json
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Dict, List

import numpy as np
from lhotse import MonoCut
from lhotse.features.io import FeaturesReader, FeaturesWriter, get_reader, get_writer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, load_cuts, load_frames, write_cuts

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
RATE_HZ = 50.0


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Sizes of the corpus."""

    utterances: int = setting(10000, "number of utterances")
    min_frames: int = setting(50, "frames T of the shortest")
    max_frames: int = setting(750, "frames T of the longest")
    codebooks: int = setting(1, "codebooks K")
    codebook_size: int = setting(2000, "entries V")
    reads: int = setting(20000, "random reads")
    clock: str = setting("wall", "wall, or cpu: processor time, for a busy machine", choices=tuple(CLOCKS))


class Store(ABC):
    """One way to keep codes."""

    name: str

    @abstractmethod
    def write(self, codes: List[np.ndarray]) -> None:
        """Write all utterances."""

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Read one utterance (T, K)."""


class LhotseStore(Store):
    """A writer and a reader of lhotse's registry, of which ours is one."""

    def __init__(self, name: str, storage: str, path: Path) -> None:
        self.name = name
        self._storage, self._path = storage, path
        self._keys: List[str] = []
        self._reader: FeaturesReader

    def write(self, codes: List[np.ndarray]) -> None:
        """See Store."""
        writer: FeaturesWriter = get_writer(self._storage)(str(self._path))
        with writer:
            self._keys = [writer.write(f"utterance-{index:06d}", array) for index, array in enumerate(codes)]
        self._reader = get_reader(self._storage)(writer.storage_path)

    def read(self, index: int) -> np.ndarray:
        """See Store."""
        return self._reader.read(self._keys[index])


class CutsStore(Store):
    """Our archive read as training reads it: through the manifest's cuts."""

    name = "flat archive, through cuts"

    def __init__(self, folder: Path, spec: FeatureSpec) -> None:
        self._folder, self._spec = folder, spec
        self._cuts: List[MonoCut] = []

    def write(self, codes: List[np.ndarray]) -> None:
        """See Store; with the manifest."""
        with FlatArchiveWriter(self._folder / "through_cuts.codes") as writer:
            cuts = []
            for index, array in enumerate(codes):
                key = writer.write(f"utterance-{index:06d}", array)
                cut = MonoCut(f"utterance-{index:06d}", 0.0, len(array) / RATE_HZ, 0)
                cuts.append(attach_stored(cut, [key], self._spec, "through_cuts.codes"))
        write_cuts(self._folder / "cuts.jsonl.gz", cuts)
        self._cuts = list(load_cuts(self._folder / "cuts.jsonl.gz"))

    def read(self, index: int) -> np.ndarray:
        """See Store."""
        return load_frames(self._cuts[index], self._spec)


class JsonLines(Store):
    """Ids as a string of a JSON object a line, one codebook after the other."""

    name = "strings in JSON lines"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._positions: List[int] = []

    def write(self, codes: List[np.ndarray]) -> None:
        """See Store."""
        with open(self._path, "wb") as stream:
            for index, array in enumerate(codes):
                self._positions.append(stream.tell())
                text = " ".join(map(str, array.T.ravel().tolist()))
                values = {"id": f"utterance-{index:06d}", "codebooks": array.shape[1], "codes": text}
                stream.write(json.dumps(values).encode() + b"\n")
        self._stream = open(self._path, "rb")  # noqa: SIM115 (open as long as the benchmark reads)

    def read(self, index: int) -> np.ndarray:
        """See Store."""
        self._stream.seek(self._positions[index])
        values = json.loads(self._stream.readline())
        return np.array(values["codes"].split(), dtype=np.int16).reshape(values["codebooks"], -1).T


def bytes_under(path: Path) -> int:
    """Bytes of a file, or of the blocks that the files of a folder take."""
    if path.is_file():
        return path.stat().st_size
    return sum(found.stat().st_blocks * 512 for found in path.rglob("*") if found.is_file())


def stores(folder: Path, spec: FeatureSpec) -> Dict[Path, Store]:
    """The ways that can run here, by what they write."""
    found: Dict[Path, Store] = {
        folder / "flat.codes": LhotseStore("flat archive", "flat_archive", folder / "flat.codes"),
        folder / "through_cuts.codes": CutsStore(folder, spec),
        folder / "codes.h5": LhotseStore("lhotse HDF5", "numpy_hdf5", folder / "codes.h5"),
        folder / "files": LhotseStore("lhotse, one file each", "numpy_files", folder / "files"),
        folder / "codes.jsonl": JsonLines(folder / "codes.jsonl"),
    }
    try:
        import h5py  # noqa: F401
    except ImportError:
        print("h5py is not installed (pip install 'icefall-discrete[benchmark]'): HDF5 is left out")
        del found[folder / "codes.h5"]
    return found


def main() -> None:
    """Measure and print the table."""
    config = config_from_flags(BenchConfig, __doc__)
    clock = CLOCKS[config.clock]
    generator = np.random.default_rng(0)
    lens = generator.integers(config.min_frames, config.max_frames + 1, config.utterances)
    codes = [generator.integers(0, config.codebook_size, (size, config.codebooks), dtype=np.int16) for size in lens]
    order = generator.integers(0, config.utterances, config.reads).tolist()
    raw = sum(array.nbytes for array in codes)
    sizes = (config.codebook_size,) * config.codebooks
    spec = FeatureSpec("bench", "codes", 16000, RATE_HZ, config.codebooks, sizes, 0)
    print(f"{config.utterances} utterances, {raw / 1e6:.1f} MB of int16, {config.reads} random reads, {config.clock}")
    print("| store | bytes / raw int16 | write, s | utterances read a second | times slower than ours |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        ours = None
        for path, store in stores(Path(folder), spec).items():
            begun = clock()
            store.write(codes)
            written = clock() - begun
            if any(not np.array_equal(store.read(index), codes[index]) for index in order[:500]):
                raise RuntimeError(f"{store.name} gives back other codes than were written.")
            begun = clock()
            for index in order:
                store.read(index)
            rate = config.reads / (clock() - begun)
            ours = rate if ours is None else ours
            share = bytes_under(path) / raw
            print(f"| {store.name} | {share:.3f} | {written:.2f} | {rate:,.0f} | {ours / rate:.1f} |")


if __name__ == "__main__":
    main()
