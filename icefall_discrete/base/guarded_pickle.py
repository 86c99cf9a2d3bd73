"""Reading files of torch.save without running what they ask for.

Both kinds of them are read here, by the machine of `inert_pickle`, in every environment alike: torch 1.13 runs a
TorchScript archive whatever `weights_only` says, ignores `pickle_module`, and refuses the settings beside the weights.
Tensors are views of flat storages, and a storage is read only if the file is large enough to hold it.
"""

import io
import math
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterable, List, Mapping, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.inert_pickle import (
    BoundedStream,
    ClassFilter,
    InertUnpickler,
    Named,
    Record,
    check_tree,
    reason_of,
)

# Packages whose objects stand in published checkpoints beside the weights; they are read as records, never imported.
CHECKPOINT_RECORDS = (
    *("argparse", "fairseq", "examples", "omegaconf", "typing", "numpy", "enum", "pathlib"),
    *("pytorch_lightning", "lightning"),
)
# The first number of a file of torch.save of the kind before 1.6.
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_ZIP_START = b"PK\x03\x04"
# All tensors together may be so many times the size of their file, since they may share storages, plus a little.
_VIEWS, _SMALL_BYTES = 4, 2**26
_MAX_AXES = 64
_MAX_SETTINGS = 10**6
# Storages by the names under which torch.save writes them.
_STORAGES: Dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


def _are_counts(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _parameter(data: Any, *others: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError("it holds a parameter that is no tensor")
    return data


def _size(values: Any = ()) -> torch.Size:
    if not _are_counts(values) or len(values) > _MAX_AXES:
        raise pickle.UnpicklingError("it holds a torch.Size that is none")
    return torch.Size(values)


def _device(kind: Any, index: Any = None) -> torch.device:
    if not isinstance(kind, str) or type(index) not in (int, type(None)):
        raise pickle.UnpicklingError("it holds a torch.device that is none")
    return torch.device(kind) if index is None else torch.device(kind, index)


_TORCH: Dict[str, Any] = {
    **{f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    **{f"torch.{name}": dtype for name, dtype in _STORAGES.items()},
    "torch.Size": Named("torch.Size", _size),
    "torch.device": Named("torch.device", _device),
    **{
        f"torch._utils.{name}": Named(f"torch._utils.{name}", _parameter)
        for name in ("_rebuild_parameter", "_rebuild_parameter_with_state")
    },
}


class _Storage:
    """A flat tensor that only views are made of."""

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class _Storages:
    """The storages of one file and the tensors made of them.

    Args:
      file_size: bytes of the file. read: makes the flat tensor of a dtype, key and number of values.
    """

    def __init__(self, file_size: int, read: Callable[[torch.dtype, str, int], Tensor]) -> None:
        self.found: Dict[str, _Storage] = {}
        self._read = read
        self._file_size = file_size
        self._left = file_size
        self._views_left = _VIEWS * file_size + _SMALL_BYTES

    def of(self, pid: Any) -> _Storage:
        """The storage that a persistent id tells of."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or any(pid[5:]) or pid[0] != "storage":
            raise pickle.UnpicklingError("it refers to something else than a whole storage of numbers")
        _, dtype, key, _, numel = pid[:5]
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not _are_counts([numel]):
            raise pickle.UnpicklingError("it refers to a storage of something else than numbers")
        if key not in self.found:
            size = numel * torch.empty(0, dtype=dtype).element_size()
            if size > self._left:
                raise EOFError(f"storages of {self._file_size - self._left + size} bytes in {self._file_size}")
            self._left -= size
            self.found[key] = _Storage(self._read(dtype, key, numel))
        flat = self.found[key].flat
        if flat.dtype != dtype or flat.numel() != numel:
            raise pickle.UnpicklingError("it refers to one storage in two ways")
        return self.found[key]

    def view(self, storage: Any, offset: Any, size: Any, stride: Any, *others: Any) -> Tensor:
        """A tensor as torch.save takes it apart: a view of a storage; `others` tell of gradients and their hooks."""
        known = isinstance(storage, _Storage) and _are_counts([offset]) and _are_counts(size) and _are_counts(stride)
        if not known or len(size) != len(stride) or len(size) > _MAX_AXES or any(others[2:]):
            raise pickle.UnpicklingError("it holds a tensor that is no view of a storage")
        numel = math.prod(size)
        last = offset + sum((count - 1) * step for count, step in zip(size, stride)) if numel else offset - 1
        if last >= storage.flat.numel():
            raise pickle.UnpicklingError("it holds a tensor that leaves its storage")
        self._views_left -= numel * storage.flat.element_size()
        if self._views_left < 0:
            raise pickle.UnpicklingError("it repeats its numbers too often")
        return torch.as_strided(storage.flat, tuple(size), tuple(stride), offset)


class _Unpickler(InertUnpickler):
    """Reads one pickle of a file of torch.save."""

    def __init__(self, source: BoundedStream, storages: _Storages, records: Sequence[str]) -> None:
        views = {f"torch._utils.{name}": storages.view for name in ("_rebuild_tensor", "_rebuild_tensor_v2")}
        makers = {name: Named(name, view) for name, view in views.items()}
        super().__init__(source, ClassFilter(records, {**_TORCH, **makers}))
        self._storages = storages

    def persistent_load(self, pid: Any) -> _Storage:
        """See _Storages."""
        self.spend(1)
        return self._storages.of(pid)


def _flat(data: bytes, dtype: torch.dtype, numel: int) -> Tensor:
    size = numel * torch.empty(0, dtype=dtype).element_size()
    if size > len(data):
        raise EOFError(f"a storage of {size} bytes is cut short to {len(data)}")
    return torch.frombuffer(bytearray(data[:size]), dtype=dtype) if numel else torch.empty(0, dtype=dtype)


def _checked_root(archive: zipfile.ZipFile, total: int) -> str:
    """The folder of an archive as torch.save writes it: its entries are not compressed, and no larger than the file."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    root = next((name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")), None)
    if root is None or any(name == f"{root}constants.pkl" or name.startswith(f"{root}code/") for name in names):
        raise ValueError("it is TorchScript or another archive, not a file of torch.save")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
        raise ValueError("it is a compressed archive, not a file of torch.save")
    if sum(entry.file_size for entry in entries) > total:
        raise ValueError("its entries are larger than the file")
    return root


def _read_archive(path: Path, records: Sequence[str]) -> Any:
    """The kind that torch.save writes since 1.6: a zip archive with a pickle and one entry for each storage."""
    total = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        root = _checked_root(archive, total)
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")

        def storage(dtype: torch.dtype, key: str, numel: int) -> Tensor:
            return _flat(archive.read(f"{root}data/{key}"), dtype, numel)

        pickled = archive.read(f"{root}data.pkl")
        source = BoundedStream(io.BytesIO(pickled), len(pickled))
        return _Unpickler(source, _Storages(total, storage), records).load()


def _read_stream(stream: BinaryIO, total: int, records: Sequence[str]) -> Any:
    """The kind that torch.save wrote before 1.6: five pickles in a row, then the storages, each with its size."""
    source = BoundedStream(stream, total)
    storages = _Storages(total, lambda dtype, key, numel: torch.empty(numel, dtype=dtype))
    magic = _Unpickler(source, storages, records).load()
    if magic != _MAGIC_NUMBER:
        raise ValueError("it is a pickle, but not one of torch.save")
    _, system, value, keys = (_Unpickler(source, storages, records).load() for _ in range(4))
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    if not isinstance(keys, list) or len(keys) != len(storages.found) or {*map(str, keys)} != {*storages.found}:
        raise ValueError("its list of storages is not that of its tensors")
    for key in keys:
        flat = storages.found[str(key)].flat
        (numel,) = struct.unpack("<q", source.read(8))
        if numel != len(flat):
            raise ValueError(f"a storage has {numel} numbers, expected {len(flat)}")
        flat.copy_(_flat(source.read(numel * flat.element_size()), flat.dtype, numel))
    return value


def _read_file(path: Path, records: Sequence[str]) -> Any:
    if not path.is_file():
        raise ValueError("it is not a file")
    if not path.stat().st_size:
        raise EOFError("it is empty")
    if zipfile.is_zipfile(path):
        return _read_archive(path, records)
    with open(path, "rb") as stream:
        start = stream.read(len(_ZIP_START))
        if start == _ZIP_START:
            raise EOFError("it is an archive that is cut short")
        stream.seek(0)
        return _read_stream(stream, path.stat().st_size, records)


def read_checkpoint(
    path: Path,
    records: Sequence[str] = CHECKPOINT_RECORDS,
    verdict: str = "is refused",
    advice: str = "give a checkpoint of weights",
) -> Any:
    """Read a file of torch.save on the CPU: containers, tensors, and `Record`s of settings; nothing of it is run.

    Args:
      records: packages or modules whose objects are read as records. verdict, advice: parts of the message.
    Raises:
      FileNotFoundError: if it does not exist. ValueError: if it is damaged, or names anything else, which it then says.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"checkpoint {path} does not exist; correct its name.")
    try:
        return _read_file(path, records)
    except Exception as error:  # what a file can get wrong has no end, and each fails in its own way
        reason = reason_of(error)
    raise ValueError(f"{path} {verdict}: {reason}. Nothing of it was run; {advice}.")


def _inner(record: Record) -> List[Any]:
    """What stands for a record among plain settings, in a list; nothing if it holds nothing."""
    attributes = record.attributes
    for name in ("_content", "_val"):
        if name in attributes:
            return [attributes[name]]
    if attributes:
        return [attributes]
    return [record.args[0]] if len(record.args) == 1 else []


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Record):
        return [part for inner in _inner(value) for part in (inner.values() if isinstance(inner, dict) else [inner])]
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()


def plain(value: Any) -> Any:
    """Settings as plain Python: records of argparse and omegaconf become dictionaries, lists and values.

    ValueError if they hold themselves, or are too large or too deep for settings.
    """
    try:
        check_tree(value, _MAX_SETTINGS, _inside)
    except pickle.UnpicklingError as error:
        raise ValueError(f"the settings of a checkpoint are refused: {error}.") from None
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return next((_plain(inner) for inner in _inner(value)), None)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def tensors_of(value: Any, where: str) -> Dict[str, Tensor]:
    """`value` as a state dict; ValueError, naming the file, if it is not one."""
    if not isinstance(value, Mapping) or not all(isinstance(item, Tensor) for item in value.values()):
        raise ValueError(f"{where} holds no state dict of tensors; give the checkpoint as its authors published it.")
    return dict(value)
