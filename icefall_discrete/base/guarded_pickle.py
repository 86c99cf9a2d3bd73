"""Reading pickled files without running what they ask for.

A pickle is a program. Here it may build plain containers and tensors; objects of a few named packages (the settings of
a fairseq checkpoint, say) become a `Record` that only keeps what was pickled, and the package is not imported; whatever
else it names is refused before anything is called. Files of torch.save are read here too, both kinds of them, since
torch 1.13 ignores the `pickle_module` of torch.load and its `weights_only` refuses the settings beside the weights.
"""

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Mapping, Sequence, Tuple

import torch
from torch import Tensor

# Packages whose objects stand in checkpoints beside the weights; they are read as records, never imported.
CHECKPOINT_RECORDS = (
    *("argparse", "fairseq", "examples", "omegaconf", "typing", "numpy", "enum", "pathlib"),
    *("pytorch_lightning", "lightning"),
)
# The first number of a file of torch.save of the kind before 1.6.
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


class Record:
    """What was pickled of an object whose class is not imported: `path` of the class, `args` and `state`."""

    path = ""

    def __init__(self, *args: Any) -> None:
        """Keep the arguments."""
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep the state; a state of attributes and slots is merged."""
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state = {**(state[0] or {}), **state[1]}
        self.state = state

    def __getattr__(self, name: str) -> Any:
        if name in ("args", "state"):  # built without __init__, as unpickling may
            return () if name == "args" else None
        raise AttributeError(name)

    @property
    def attributes(self) -> Dict[str, Any]:
        """The pickled attributes, by name."""
        return self.state if isinstance(self.state, dict) else {}


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 spells bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r}, expected 'latin1'")
    return text.encode("latin1")


def _reconstruct(cls: type, base: type, state: Any) -> Any:
    """How protocols 0 and 1 make an object of a Python class."""
    if not (isinstance(cls, type) and issubclass(cls, Record)) or base is not object:
        raise pickle.UnpicklingError(f"an object of {cls}")
    return cls()


def _alias(origin: Any, items: Any) -> Any:
    """How types such as Dict[str, Any] are pickled, which omegaconf keeps; what is inside the brackets is let go."""
    if not (isinstance(origin, type) and issubclass(origin, Record)):
        raise pickle.UnpicklingError(f"an item of {origin}")
    return origin


_BUILTINS = (bool, bytes, complex, dict, float, frozenset, int, list, object, range, set, slice, str, tuple)
_PLAIN: Dict[Tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("_codecs", "encode"): _latin1,
    **{(module, "getitem"): _alias for module in ("_operator", "operator")},
    ("copyreg", "_reconstructor"): _reconstruct,
    ("copy_reg", "_reconstructor"): _reconstruct,
    **{(module, cls.__name__): cls for cls in _BUILTINS for module in ("builtins", "__builtin__")},
    ("__builtin__", "long"): int,
    ("__builtin__", "unicode"): str,
}
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
}


def _tensor(flat: Tensor, offset: int, size: Tuple[int, ...], stride: Tuple[int, ...], *others: Any) -> Tensor:
    """A tensor as torch.save takes it apart: a view of a flat storage; torch refuses a view that leaves it."""
    return torch.as_strided(flat, size, stride, offset)


def _parameter(data: Tensor, *others: Any) -> Tensor:
    return data


_TENSORS: Dict[Tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
}


class ClassFilter:
    """Decides what a name in a pickle becomes; one `Record` class for each name of the packages in `records`."""

    def __init__(self, records: Sequence[str], tensors: bool = False) -> None:
        """Allow plain containers, `Record`s of the packages in `records`, and tensors if so said."""
        self._known = {**_PLAIN, **(_TENSORS if tensors else {})}
        self._records = tuple(records)

    def find(self, module: str, name: str) -> Any:
        """Return what stands for `module`.`name`; UnpicklingError, naming it, if it is not allowed."""
        key = (module, name)
        if key not in self._known:
            if module.split(".")[0] not in self._records:
                raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither data nor settings")
            self._known[key] = type(name, (Record,), {"path": f"{module}.{name}"})
        return self._known[key]


class _Unpickler(pickle.Unpickler):
    """Reads one pickle of a file of torch.save; `storage` makes the flat tensor of dtype, key and size."""

    def __init__(self, stream: BinaryIO, storage: Callable[[torch.dtype, str, int], Tensor]) -> None:
        super().__init__(stream, encoding="utf-8")
        self._names = ClassFilter(CHECKPOINT_RECORDS, tensors=True)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """See ClassFilter."""
        return self._names.find(module, name)

    def persistent_load(self, pid: Any) -> Tensor:
        """The flat storage that a persistent id tells of."""
        kind, dtype, key, _, numel = pid[:5]
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(pid[5:]):
            raise pickle.UnpicklingError(f"it holds a {kind!r}, expected a whole storage of numbers")
        return self._storage(dtype, str(key), int(numel))


def _flat(data: bytes, dtype: torch.dtype, numel: int) -> Tensor:
    size = numel * torch.empty(0, dtype=dtype).element_size()
    if numel < 0 or size > len(data):
        raise EOFError(f"a storage of {size} bytes is cut short to {len(data)}")
    return torch.frombuffer(bytearray(data[:size]), dtype=dtype) if numel else torch.empty(0, dtype=dtype)


def _read_archive(path: Path) -> Any:
    """The kind that torch.save writes since 1.6: a zip archive with a pickle and one entry for each storage."""
    with zipfile.ZipFile(path) as archive:
        root = next((name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if root is None or f"{root}constants.pkl" in archive.namelist():
            raise ValueError("it is TorchScript or another archive, not a file of torch.save")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        found: Dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, numel: int) -> Tensor:
            if key not in found:
                found[key] = _flat(archive.read(f"{root}data/{key}"), dtype, numel)
            return found[key]

        return _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")), storage).load()


def _read_stream(path: Path) -> Any:
    """The kind that torch.save wrote before 1.6: five pickles in a row, then the storages, each with its size."""
    with open(path, "rb") as stream:
        total = path.stat().st_size
        found: Dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, numel: int) -> Tensor:
            if key not in found:
                if not 0 <= numel * torch.empty(0, dtype=dtype).element_size() <= total:
                    raise EOFError(f"a storage of {numel} numbers in a file of {total} bytes")
                found[key] = torch.empty(numel, dtype=dtype)
            return found[key]

        magic, _, _, value, keys = (_Unpickler(stream, storage).load() for _ in range(5))
        if magic != _MAGIC_NUMBER:
            raise ValueError("it is a pickle, but not one of torch.save")
        for key in keys:
            flat = found[str(key)]
            (numel,) = struct.unpack("<q", stream.read(8))
            if numel != len(flat):
                raise ValueError(f"storage {key} has {numel} numbers, expected {len(flat)}")
            flat.copy_(_flat(stream.read(numel * flat.element_size()), flat.dtype, numel))
        return value


def read_checkpoint(path: Path) -> Any:
    """Read a file of torch.save on the CPU: containers, tensors, and `Record`s of settings; nothing of it is run.

    FileNotFoundError if it does not exist; ValueError if it is damaged, or names anything else, which is then named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist; correct `model`.")
    try:
        return _read_archive(path) if zipfile.is_zipfile(path) else _read_stream(path)
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, struct.error) as error:
        reason = str(error)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).split("\n")[0]
    raise ValueError(f"{path} is refused: {reason}. Nothing of it was run; give a checkpoint of weights.")


def plain(value: Any) -> Any:
    """Settings as plain Python: records of argparse and omegaconf become dictionaries, lists and values."""
    if isinstance(value, Record):
        attributes = value.attributes
        if "_content" in attributes:
            return plain(attributes["_content"])
        if "_val" in attributes:
            return plain(attributes["_val"])
        return plain(attributes) if attributes else plain(value.args[0] if len(value.args) == 1 else None)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def tensors_of(value: Any, where: str) -> Dict[str, Tensor]:
    """`value` as a state dict; ValueError, naming the file, if it is not one."""
    if not isinstance(value, Mapping) or not all(isinstance(item, Tensor) for item in value.values()):
        raise ValueError(f"{where} holds no state dict of tensors; give the checkpoint as its authors published it.")
    return dict(value)
