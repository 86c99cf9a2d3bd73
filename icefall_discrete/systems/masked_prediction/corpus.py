"""The frames of a corpus on disk while an encoder is trained on them, and the batches made of them.

For each frame of 20 ms, 4 M bytes are on disk (stacked log-mel, float16, M mel bins) and 4 D bytes (the first teacher's
frames, float32, D dimensions): 29 and 28 MB an hour for M = 40 and D = 39. In memory are an id and a few numbers an
utterance.
"""

import hashlib
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Tuple

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.base.atomic_files import naming

MEL_FILE = "mel.f16"
TEACHER_FILE = "teacher.f32"
# Part by which lengths are shaken before utterances are sorted by them, so that batches differ from epoch to epoch.
LENGTH_NOISE = 0.1


class Corpus(NamedTuple):
    """Frames of utterances in a row; utterance n is rows starts[n] to starts[n] + lens[n].

    mel: (total, 2 M) float16. teacher: (total, D) float32. lens, starts: (N,) int64. mean, std: (2 M,) float32, of
    `mel`. sha256: of the utterances' ids and frames. ids: of the utterances.
    """

    mel: np.ndarray
    teacher: np.ndarray
    lens: np.ndarray
    starts: np.ndarray
    mean: Tensor
    std: Tensor
    sha256: str
    ids: List[str]

    def mel_of(self, utterance: int) -> Tensor:
        """Stacked log-mel (T, 2 M) float32 of one utterance."""
        return torch.from_numpy(self._rows(self.mel, utterance).astype(np.float32))

    def teacher_of(self, utterance: int) -> np.ndarray:
        """The first teacher's frames (T, D) of one utterance."""
        return np.asarray(self._rows(self.teacher, utterance))

    def _rows(self, array: np.ndarray, utterance: int) -> np.ndarray:
        start = self.starts[utterance]
        return array[start : start + self.lens[utterance]]


def write_corpus(folder: Path, utterances: Iterable[Tuple[str, Tensor, Tensor]]) -> Corpus:
    """Write the frames of `utterances`, triples of id, stacked log-mel (T, 2 M) and teacher's frames (T, D), once read.

    Raises ValueError if there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lens: List[int] = []
    ids: List[str] = []
    digest = hashlib.sha256()
    sums = squares = np.zeros(1)
    widths = (0, 0)
    with (
        naming(folder),
        open(folder / MEL_FILE, "wb") as mel_file,
        open(folder / TEACHER_FILE, "wb") as teacher_file,
    ):
        for name, mel, teacher in utterances:
            values = mel.numpy().astype(np.float16)
            digest.update(f"{name} {len(values)}\n".encode() + values.tobytes())
            mel_file.write(values.tobytes())
            teacher_file.write(teacher.numpy().astype(np.float32).tobytes())
            sums = sums + values.sum(axis=0, dtype=np.float64)
            squares = squares + np.square(values, dtype=np.float64).sum(axis=0)
            lens.append(len(values))
            ids.append(name)
            widths = (mel.shape[1], teacher.shape[1])
    if not lens:
        raise ValueError("no utterance could be used to train on; fit on more audio.")
    total = sum(lens)
    mean = sums / total
    std = np.sqrt(np.maximum(squares / total - mean**2, 1e-10))
    return Corpus(
        np.memmap(folder / MEL_FILE, np.float16, "r", shape=(total, widths[0])),
        np.memmap(folder / TEACHER_FILE, np.float32, "r", shape=(total, widths[1])),
        np.array(lens),
        np.concatenate([[0], np.cumsum(lens)[:-1]]),
        torch.from_numpy(mean).float(),
        torch.from_numpy(std).float(),
        digest.hexdigest(),
        ids,
    )


class Batch(NamedTuple):
    """mel (N, T, 2 M) float32 and units (N, T) int64, 0 behind the ends; lens (N,) int64."""

    mel: Tensor
    units: Tensor
    lens: Tensor

    @property
    def padding(self) -> Tensor:
        """(N, T), true behind the ends."""
        return torch.arange(self.mel.shape[1]) >= self.lens.unsqueeze(1)


def plan_batches(lens: np.ndarray, batch_frames: int, generator: np.random.Generator) -> List[np.ndarray]:
    """Indices of utterances of similar length, at most `batch_frames` with padding (or one); shuffled batches."""
    order = np.argsort(lens * (1.0 + LENGTH_NOISE * generator.random(len(lens))), kind="stable")
    batches: List[List[int]] = []
    longest = 0
    for index in order.tolist():
        longest = max(longest, int(lens[index]))
        if not batches or longest * (len(batches[-1]) + 1) > batch_frames:
            batches.append([])
            longest = int(lens[index])
        batches[-1].append(index)
    return [np.array(batches[position]) for position in generator.permutation(len(batches))]


def endless_batches(lens: np.ndarray, batch_frames: int, seed: int) -> Iterator[np.ndarray]:
    """The batches of one epoch after the other, each epoch with its own."""
    generator = np.random.default_rng(seed)
    while True:
        yield from plan_batches(lens, batch_frames, generator)


def make_batch(
    corpus: Corpus, units: np.ndarray, utterances: np.ndarray, max_frames: int, generator: torch.Generator
) -> Batch:
    """The batch of some utterances; of one longer than `max_frames`, a random stretch of that many.

    Args:
      units: (total,) the units of all frames of the corpus.
    """
    lens = np.minimum(corpus.lens[utterances], max_frames)
    shape = (len(utterances), int(lens.max()))
    mel, targets = torch.zeros(*shape, corpus.mel.shape[1]), torch.zeros(shape, dtype=torch.int64)
    for row, (utterance, length) in enumerate(zip(utterances.tolist(), lens.tolist())):
        spare = int(corpus.lens[utterance]) - length
        offset = int(torch.randint(spare + 1, (), generator=generator))
        start = int(corpus.starts[utterance]) + offset
        mel[row, :length] = torch.from_numpy(corpus.mel[start : start + length].astype(np.float32))
        targets[row, :length] = torch.from_numpy(units[start : start + length].astype(np.int64))
    return Batch(mel, targets, torch.from_numpy(lens))
