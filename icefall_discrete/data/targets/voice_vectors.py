"""Vectors of voices by the speaker's name, as a trained classifier hears them: they begin sequences of speech."""

from pathlib import Path
from typing import Mapping, Optional

import torch
from torch import Tensor

from icefall_discrete.base.names import did_you_mean
from icefall_discrete.base.tensor_files import read_tensors, write_tensors

FILE = "voice_vectors.safetensors"
SPEAKER = "speaker"  # the fact by which vectors are found
_MAKE = "make it with local/embed_voices.py"


class VoiceVectors:
    """A vector (E,) of each of some voices, all of one length."""

    def __init__(self, vectors: Mapping[str, Tensor]) -> None:
        self._vectors = dict(vectors)

    @property
    def dim(self) -> int:
        """E."""
        return len(next(iter(self._vectors.values())))

    def of(self, name: str) -> Tensor:
        """That of a voice. Raises ValueError, naming those that are near, for one that is not there."""
        if name not in self._vectors:
            meant = did_you_mean(name, self._vectors)
            raise ValueError(
                f"the voice '{name}' is none of the {len(self._vectors)} that there are vectors of; "
                f"{f'{meant} ' if meant else ''}give another, or train with a file that has it (local/embed_voices.py)."
            )
        return self._vectors[name]

    def means_the_same(self, other: Optional["VoiceVectors"]) -> bool:
        """Whether whoever is in both has the same vector in both."""
        if other is None or other.dim != self.dim:
            return False
        return all(torch.equal(value, other._vectors.get(name, value)) for name, value in self._vectors.items())

    def with_others(self, others: "VoiceVectors") -> "VoiceVectors":
        """Those of `others` too; whoever is in both has their own here."""
        return VoiceVectors({**others._vectors, **self._vectors})

    @classmethod
    def read(cls, path: Path) -> "VoiceVectors":
        """Of a file. Raises FileNotFoundError, or ValueError for one that holds no vectors of one length."""
        vectors = read_tensors(path, _MAKE).tensors
        shapes = {tuple(value.shape) for value in vectors.values()}
        fine = all(value.is_floating_point() and bool(value.isfinite().all()) for value in vectors.values())
        if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not fine:
            raise ValueError(
                f"{path} holds {len(vectors)} tensors of shapes {sorted(shapes)}, expected vectors of one length, of "
                f"finite numbers, one a voice; {_MAKE}."
            )
        return cls({name: value.float() for name, value in vectors.items()})

    def write(self, path: Path) -> None:
        """Write a file that `read` reads."""
        write_tensors(path, self._vectors)
