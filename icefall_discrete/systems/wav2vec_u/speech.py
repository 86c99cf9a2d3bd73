"""Segments of utterances on disk, and batches of them beside lines of text that are not theirs.

For each segment 2 D bytes (float16, D dimensions) are on disk; in memory are an id and two numbers an utterance.
"""

import hashlib
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import torch

from icefall_discrete.base.atomic_files import naming, replacing
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.shapes import BOOLEAN, COUNT, COUNTS, ID, NUMBER, TEXTS, read_shaped
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.systems.wav2vec_u.text import Text, with_silence
from icefall_discrete.training.system import Batch

FACTS = "speech.json"
SEGMENTS, UNITS = "segments.f16", "units.i32"
_SHAPES = {"ids": TEXTS, "lens": COUNTS, "dim": COUNT, "has_units": BOOLEAN, "heard_sec": NUMBER, "sha256": ID}
_AGAIN = "move the folder aside and run the stage again"

Utterance = Tuple[str, np.ndarray, Optional[np.ndarray]]


class Speech(NamedTuple):
    """Segments of utterances in a row; utterance n is rows starts[n] to starts[n] + lens[n].

    segments: (total, D) float16. units: (total,) int32, or None. lens, starts: (N,) int64. ids: of the utterances.
    sha256: of ids, segments and units. rate_hz: segments a second of what was heard.
    """

    segments: np.ndarray
    units: Optional[np.ndarray]
    lens: np.ndarray
    starts: np.ndarray
    ids: List[str]
    sha256: str
    rate_hz: float

    @property
    def dim(self) -> int:
        """Dimensions D."""
        return self.segments.shape[1]

    def of(self, utterance: int) -> np.ndarray:
        """Segments (T, D) float32 of one utterance."""
        start = self.starts[utterance]
        return self.segments[start : start + self.lens[utterance]].astype(np.float32)

    def units_of(self, utterance: int) -> Optional[np.ndarray]:
        """Units (T,) of one utterance, if there are any."""
        if self.units is None:
            return None
        start = self.starts[utterance]
        return self.units[start : start + self.lens[utterance]]


def _halved(name: str, segments: np.ndarray) -> np.ndarray:
    """Segments as float16. Raises ValueError, naming the utterance, for numbers that this does not hold."""
    with np.errstate(over="ignore"):
        values: np.ndarray = segments.astype(np.float16)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name}: its features have numbers that 16 bits do not hold, above {np.finfo(np.float16).max:g} or none; "
            "take a feature type that is standardised, and see what stage 4 says of this one."
        )
    return values


def write_speech(folder: Path, utterances: Iterable[Utterance], heard_sec: float) -> Speech:
    """Write segments and units of `utterances`, read once; `heard_sec` is how long they last together.

    Raises:
      ValueError: if there are none, or one is not finite in 16 bits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lens: List[int] = []
    ids: List[str] = []
    digest = hashlib.sha256()
    dim, has_units = 0, False
    with (
        naming(folder),
        replacing(folder / SEGMENTS) as segments_path,
        replacing(folder / UNITS) as units_path,
        open(segments_path, "wb") as segments_file,
        open(units_path, "wb") as units_file,
    ):
        for name, segments, units in utterances:
            values = _halved(name, segments)
            said = b"" if units is None else units.astype(np.int32).tobytes()
            digest.update(f"{name} {len(values)}\n".encode() + values.tobytes() + said)
            segments_file.write(values.tobytes())
            units_file.write(said)
            lens.append(len(values))
            ids.append(name)
            dim, has_units = segments.shape[1], units is not None
    if not lens:
        raise ValueError(f"{folder}: there is no speech to learn from; give a manifest with utterances.")
    facts = {
        "ids": ids,
        "lens": lens,
        "dim": dim,
        "has_units": has_units,
        "heard_sec": heard_sec,
        "sha256": digest.hexdigest(),
    }
    write_json(folder / FACTS, facts)
    return read_speech(folder)


def _mapped(path: Path, dtype: type, shape: Tuple[int, ...]) -> np.ndarray:
    """An array of a file, which stays there. Raises FileNotFoundError, or ValueError for a file of another size."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {_AGAIN}.")
    size, expected = path.stat().st_size, int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size != expected:
        raise ValueError(f"{path} has {size} bytes, expected {expected}; {_AGAIN}.")
    return np.memmap(path, dtype, "r", shape=shape)


def read_speech(folder: Path) -> Speech:
    """What `write_speech` wrote.

    Raises:
      FileNotFoundError: if it did not. ValueError: if it was changed or cut short.
    """
    facts = read_shaped(folder / FACTS, _SHAPES, _AGAIN)
    lens = np.array(facts["lens"], dtype=np.int64)
    total = int(lens.sum())
    if len(facts["ids"]) != len(lens) or not total:
        raise ValueError(
            f"{folder / FACTS} has {len(facts['ids'])} ids and {len(lens)} lengths, together {total} segments, "
            f"expected a length of each id; {_AGAIN}."
        )
    return Speech(
        _mapped(folder / SEGMENTS, np.float16, (total, facts["dim"])),
        _mapped(folder / UNITS, np.int32, (total,)) if facts["has_units"] else None,
        lens,
        np.concatenate([[0], np.cumsum(lens)[:-1]]),
        facts["ids"],
        facts["sha256"],
        total / max(facts["heard_sec"], 1e-9),
    )


def padded_batch(names: List[str], rows: List[np.ndarray]) -> Batch:
    """Segments (T, D) of some utterances, with zeros behind their ends."""
    lens = torch.tensor([len(row) for row in rows])
    segments = torch.zeros(len(rows), int(lens.max()), rows[0].shape[1])
    for place, row in enumerate(rows):
        segments[place, : len(row)] = torch.from_numpy(row)
    return {"cut_ids": names, "segments": segments, "lens": lens}


def speech_batch(speech: Speech, utterances: List[int]) -> Batch:
    """Some utterances, with units if there are any, -1 behind ends."""
    batch = padded_batch([speech.ids[one] for one in utterances], [speech.of(one) for one in utterances])
    if speech.units is None:
        return batch
    units = torch.full(batch["segments"].shape[:2], -1, dtype=torch.int64)
    for row, one in enumerate(utterances):
        units[row, : speech.lens[one]] = torch.from_numpy(np.asarray(speech.units_of(one), dtype=np.int64))
    return {**batch, "units": units}


def whole_batches(speech: Speech, batch_size: int) -> Iterator[Batch]:
    """All utterances, by length, to be measured or said."""
    order = np.argsort(speech.lens, kind="stable").tolist()
    for start in range(0, len(order), batch_size):
        yield speech_batch(speech, order[start : start + batch_size])


class Pairs(NamedTuple):
    """Speech, text, and how batches are drawn of them. seed: with the number of a step, all that a batch depends on."""

    speech: Speech
    text: Text
    silence_prob: float
    batch_size: int
    seed: int

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Those of steps `first`, `first` + 1, ..., `last` - 1, counted from 0."""
        size = min(self.batch_size, len(self.speech.lens))
        each = len(self.speech.lens) // size
        epoch, order = -1, np.zeros(0, dtype=np.int64)
        for step in range(first, last):
            if step // each != epoch:
                epoch = step // each
                order = np.random.default_rng(derived_seed(self.seed, 0, epoch)).permutation(len(self.speech.lens))
            place = step % each * size
            yield self._batch(order[place : place + size].tolist(), derived_seed(self.seed, 1, step))

    def _batch(self, utterances: List[int], seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(self.text.lines), (len(utterances),), generator=generator).tolist()
        rows = [with_silence(self.text.lines[one], self.silence_prob, generator) for one in drawn]
        longest = max(map(len, rows))
        text = torch.tensor([row + [-1] * (longest - len(row)) for row in rows])
        return {**speech_batch(self.speech, utterances), "text": text, "seed": seed}
