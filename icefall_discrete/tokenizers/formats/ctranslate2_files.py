"""Models of CTranslate2 (model.bin) read as tensors, without the library and without trusting the file.

A file is: version, name and revision of the kind of model; the number of variables, and of each its name, rank,
dimensions, type, number of bytes and values; then the number of aliases, and of each its name and the variable's. Whole
numbers are little-endian and without sign; a text is its length and that many bytes, of which the last one is 0.
"""

import math
import re
import struct
from pathlib import Path
from typing import BinaryIO, Callable, Collection, Dict, NamedTuple, Set, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.inert_pickle import shown
from icefall_discrete.tokenizers.formats.pretrained import REFETCH

WEIGHTS_FILE = "model.bin"
# Binary versions whose layout is this one.
VERSIONS = (4, 5, 6)
# By the number that stands for a type.
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
_ITEM_BYTES = (4, 1, 2, 4, 2, 2)
_QUANTIZED = (torch.int8, torch.int16)
SCALE_SUFFIX = "_scale"
_NAME = re.compile(rb"[\w./-]+")
# The largest Whisper has some two thousand variables; no weight has more than three dimensions.
_MOST_VARIABLES, _MOST_RANK = 100_000, 8
_MOST_NUMBERS = 2**40  # of a variable, the empty ones counted as if a dimension of 0 were 1


class CTranslate2Model(NamedTuple):
    """What a file held: the kind of model, the revision of its names, and tensors by name, on the CPU.

    Numbers that were quantized are float32, others as they are stored.
    """

    kind: str
    revision: int
    tensors: Dict[str, Tensor]


class _Variable(NamedTuple):
    dtype: int
    shape: Tuple[int, ...]
    start: int
    num_bytes: int


class _Reader:
    """Reads what is there; ValueError, a part of a sentence, for what is not."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def raw(self, num_bytes: int, what: str) -> bytes:
        self._need(num_bytes, what)
        return self._stream.read(num_bytes)

    def skip(self, num_bytes: int, what: str) -> int:
        """Pass over bytes; return where they began."""
        self._need(num_bytes, what)
        start = self._stream.tell()
        self._stream.seek(num_bytes, 1)
        return start

    def _need(self, num_bytes: int, what: str) -> None:
        if num_bytes > self._left:
            raise ValueError(f"{what} needs {num_bytes} bytes, and {self._left} are left")
        self._left -= num_bytes

    def number(self, form: str, what: str) -> int:
        return struct.unpack(f"<{form}", self.raw(struct.calcsize(form), what))[0]

    def text(self, what: str) -> str:
        found = self.raw(self.number("H", what), what)
        if found[-1:] != b"\0" or not _NAME.fullmatch(found[:-1]):
            raise ValueError(f"{what} is {shown(found.decode(errors='replace'))!r}, which is no name")
        return found[:-1].decode()

    def count(self, what: str) -> int:
        found = self.number("I", f"the number of {what}")
        if found > _MOST_VARIABLES:
            raise ValueError(f"it states {found} {what}, expected at most {_MOST_VARIABLES}")
        return found

    def variable(self, name: str) -> _Variable:
        rank = self.number("B", f"the rank of {name}")
        if rank > _MOST_RANK:
            raise ValueError(f"{name} has {rank} dimensions, expected at most {_MOST_RANK}")
        shape = tuple(self.number("I", f"a dimension of {name}") for _ in range(rank))
        if math.prod(max(size, 1) for size in shape) > _MOST_NUMBERS:
            raise ValueError(f"{name} states shape {shape}, which no weight has")
        dtype = self.number("B", f"the type of {name}")
        if dtype >= len(_DTYPES):
            raise ValueError(f"{name} is of type {dtype}, expected 0 to {len(_DTYPES) - 1}")
        num_bytes = self.number("I", f"the size of {name}")
        if math.prod(shape) * _ITEM_BYTES[dtype] != num_bytes:
            raise ValueError(f"{name} states {num_bytes} bytes for shape {shape} of {_DTYPES[dtype]}")
        return _Variable(dtype, shape, self.skip(num_bytes, name), num_bytes)

    def require_end(self) -> None:
        if self._left:
            raise ValueError(f"{self._left} bytes follow its end")


def read_ctranslate2(
    path: Path, wanted: Callable[[str], bool] = lambda name: True, whole: Collection[str] = ()
) -> CTranslate2Model:
    """Read the `wanted` variables of a model.bin, aliases under their own names; the places of all are checked.

    whole: names of those that are whole numbers themselves; any other whole numbers must have a scale.

    Raises:
      FileNotFoundError: if there is no such file. ValueError: if it is damaged, or no model of CTranslate2.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; correct `model`.")
    try:
        if not path.is_file():
            raise ValueError("it is not a file")
        with open(path, "rb") as stream:
            return _read(stream, path.stat().st_size, wanted, whole)
    except ValueError as error:
        raise ValueError(f"{path} is no model of CTranslate2 that can be read ({error}); {REFETCH}.") from None


def _read(stream: BinaryIO, size: int, wanted: Callable[[str], bool], whole: Collection[str]) -> CTranslate2Model:
    reader = _Reader(stream, size)
    version = reader.number("I", "the version")
    if version not in VERSIONS:
        raise ValueError(f"its version is {version}, expected {VERSIONS[0]} to {VERSIONS[-1]}")
    kind, revision = reader.text("the kind of model"), reader.number("I", "the revision")
    variables: Dict[str, _Variable] = {}
    for _ in range(reader.count("variables")):
        name = reader.text("the name of a variable")
        if name in variables:
            raise ValueError(f"{name} is there twice")
        variables[name] = reader.variable(name)
    aliases: Dict[str, str] = {}
    for _ in range(reader.count("aliases")):
        alias, name = reader.text("an alias"), reader.text("the variable of an alias")
        if alias in variables or alias in aliases or name not in variables:
            raise ValueError(f"{alias} is another name of {name}, which is not there, or stands for two")
        aliases[alias] = name
    reader.require_end()
    asked = {name: aliases.get(name, name) for name in (*variables, *aliases) if wanted(name)}
    read = _tensors(stream, variables, aliases, set(asked.values()), {aliases.get(name, name) for name in whole})
    return CTranslate2Model(kind, revision, {name: read[of] for name, of in asked.items() if of in read})


def _tensors(
    stream: BinaryIO,
    variables: Dict[str, _Variable],
    aliases: Dict[str, str],
    names: Set[str],
    whole: Set[str],
) -> Dict[str, Tensor]:
    """The variables called `names`, each read once; the scales of quantized ones are used up."""
    scales: Dict[str, Set[str]] = {}
    for name in (*variables, *aliases):
        scale = aliases.get(name + SCALE_SUFFIX, name + SCALE_SUFFIX)
        if scale in variables:
            scales.setdefault(aliases.get(name, name), set()).add(scale)
    found = {name: _tensor(stream, variables[name]) for name in sorted(names)}
    used: Set[str] = set()
    for name in [name for name in found if not found[name].is_floating_point() and name not in whole]:
        if found[name].dtype not in _QUANTIZED or len(scales.get(name, ())) != 1:
            raise ValueError(f"{name} holds whole numbers of {found[name].dtype} without a scale of its own")
        (scale,) = scales[name]
        found[name] = _scaled(name, found[name], _tensor(stream, variables[scale]))
        used.add(scale)
    return {name: value for name, value in found.items() if name not in used}


def _tensor(stream: BinaryIO, place: _Variable) -> Tensor:
    stream.seek(place.start)
    values = bytearray(stream.read(place.num_bytes))
    if not values:
        return torch.zeros(place.shape, dtype=_DTYPES[place.dtype])
    return torch.frombuffer(values, dtype=_DTYPES[place.dtype]).reshape(place.shape)


def _scaled(name: str, values: Tensor, scale: Tensor) -> Tensor:
    """The numbers that were multiplied by a scale for all, or by one for each row, and rounded."""
    if scale.numel() != 1 and (values.dim() == 0 or scale.shape != values.shape[:1]):
        raise ValueError(f"{name}{SCALE_SUFFIX} has shape {tuple(scale.shape)}, {name} {tuple(values.shape)}")
    if not scale.is_floating_point():
        raise ValueError(f"{name}{SCALE_SUFFIX} is of {scale.dtype}, expected fractions")
    scale = scale.float()
    if not bool((torch.isfinite(scale) & (scale != 0)).all()):
        raise ValueError(f"{name}{SCALE_SUFFIX} holds a scale that is 0 or not finite")
    return values.float() / scale.reshape([-1] + [1] * (values.dim() - 1))
