"""What the commands left on disk, as names and comparable values: hashes of bits, floats in full, lines of text."""

import ast
import collections
import gzip
import hashlib
import json
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

import numpy as np

Values = Dict[str, str]

# How long something took says nothing about what was computed.
TIMES = ("train_sec", "audio_sec_per_sec", "train_sec_per_epoch", "train_minutes", "max_minutes", "rtf")
CODE_SUFFIXES = (".py", ".json")
_BATCH = re.compile(r"Epoch (\d+), batch (\d+), loss\[([^\]]*)\]")
_VALUE = re.compile(r"(\w+)=([^,\s]+)")
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def sha256(content: bytes) -> str:
    """Hash of some bytes, as text."""
    return hashlib.sha256(content).hexdigest()


def _of_tensor(dtype: str, shape: Tuple[int, ...], content: bytes) -> str:
    return sha256(f"{dtype} {tuple(shape)} ".encode() + content)


class _Storage(NamedTuple):
    dtype: str
    content: bytes


class _TensorHash(str):
    """The hash of a tensor, to be told from the texts of a checkpoint."""


def _rebuilt(storage: _Storage, offset: int, size: Tuple[int, ...], stride: Tuple[int, ...], *others: Any) -> str:
    """Stands for torch's function of that place: (storage, offset, size, stride, ...) -> tensor."""
    flat = np.frombuffer(storage.content, "uint16" if storage.dtype == "bfloat16" else storage.dtype)[offset:]
    strides = [step * flat.itemsize for step in stride]
    rows = np.lib.stride_tricks.as_strided(flat, size, strides, writeable=False)
    return _TensorHash(_of_tensor(storage.dtype, size, np.ascontiguousarray(rows).tobytes()))


class _HashingUnpickler(pickle.Unpickler):
    """Reads the pickle in a file of torch.save with a hash for each tensor; refuses whatever is not of tensors."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        super().__init__(archive.open(name))
        self._archive, self._folder = archive, name.rsplit("/", 1)[0]

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a class or function in the file."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a file of weights")

    def persistent_load(self, pid: Any) -> _Storage:
        """The bytes of a storage, pid being ("storage", kind, key, place, number of items)."""
        return _Storage(pid[1], self._archive.read(f"{self._folder}/data/{pid[2]}"))


def _tensors(value: Any, name: str) -> Iterator[Tuple[str, str]]:
    if isinstance(value, _TensorHash):
        yield name, str(value)
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _tensors(inner, f"{name}/{key}" if name else str(key))


def weights_of(path: Path) -> Values:
    """{name: hash of dtype, shape and bytes} of each tensor of a .pt file or a .safetensors file."""
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        header.pop("__metadata__", None)
        return {
            name: _of_tensor(_SAFETENSORS[entry["dtype"]], tuple(entry["shape"]), data[slice(*entry["data_offsets"])])
            for name, entry in header.items()
        }
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return dict(_tensors(_HashingUnpickler(archive, name).load(), ""))


def weights_in(folder: Path, pattern: str) -> Values:
    """The weights of all files of a folder that match, the file's name in front."""
    return {
        f"{path.relative_to(folder)}: {name}": value
        for path in sorted(folder.glob(pattern))
        for name, value in weights_of(path).items()
    }


def figures_of(value: Any, name: str = "") -> Values:
    """Every number in a JSON value by its place, in full, but for times."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value, 1)
        found: Values = {}
        for key, inner in items:
            if key not in TIMES:
                found.update(figures_of(inner, f"{name} {key}".strip()))
        return found
    return {name: repr(value)} if isinstance(value, (int, float)) and not isinstance(value, bool) else {}


def safetensors_figures(path: Path, keys: Tuple[str, ...]) -> Values:
    """The numbers below some keys of the JSON texts in a safetensors file's metadata."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata: Mapping[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    made = [json.loads(text) for text in metadata.values() if text.startswith("{")]
    return figures_of({key: values[key] for values in made for key in keys if key in values})


def batch_losses(log_dir: Path) -> Values:
    """The losses of each batch as the log shows them; of a batch that was done again, every value that it had."""
    found: Dict[str, list] = {}
    for path in sorted(log_dir.glob("*")):
        for epoch, batch, losses in _BATCH.findall(path.read_text(encoding="utf-8")):
            for name, value in _VALUE.findall(losses):
                values = found.setdefault(f"epoch {epoch} batch {batch} {name}", [])
                if value not in values:
                    values.append(value)
    return {name: " or ".join(values) for name, values in found.items()}


def _json_lines(path: Path) -> Iterator[Dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def codes_of(folder: Path, split: str) -> Values:
    """Hash of each file of a split's archive, and of what its manifest says of the cuts, in its order."""
    found = {
        path.name: sha256(path.read_bytes())
        for path in sorted(folder.glob(f"{split}.*"))
        if not path.name.endswith(".jsonl.gz")
    }
    manifest = _json_lines(folder / f"{split}.jsonl.gz")
    cuts = [[cut["id"], cut["duration"], text_of(cut), cut.get("custom")] for cut in manifest]
    return {**found, f"{split}: cuts": sha256(json.dumps(cuts, sort_keys=True).encode())}


def text_of(cut: Dict[str, Any]) -> Optional[str]:
    """The transcript of a cut."""
    return next((supervision.get("text") for supervision in cut["supervisions"]), None)


def texts_of_manifest(path: Path) -> Values:
    """Text and length of each cut."""
    return {cut["id"]: f"{cut['duration']!r} s: {text_of(cut)}" for cut in _json_lines(path)}


def audio_of_manifest(path: Path) -> Dict[str, Path]:
    """The audio file of each cut."""
    return {cut["id"]: Path(cut["recording"]["sources"][0]["source"]) for cut in _json_lines(path)}


def spec_of(folder: Path) -> Values:
    """The fields of spec.json by dotted names, without the versions of libraries."""

    def fields(value: Any, name: str) -> Iterator[Tuple[str, str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from fields(inner, f"{name}.{key}" if name else key)
        else:
            yield name, json.dumps(value)

    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    spec.pop("made_with", None)
    return dict(fields(spec, ""))


def hypotheses_of(path: Path) -> Values:
    """{cut id: words} of a recogs file."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        cut_id, words = line.split("\t", 1)
        if words.startswith("hyp="):
            found[cut_id.rstrip(":")] = " ".join(ast.literal_eval(words[len("hyp=") :]))
    return found


def lines_of(path: Path) -> Values:
    """The lines of a text file by their number."""
    return {f"{number:04d}": line for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)}


def code_digest(root: Path) -> str:
    """Hash of the code and settings that a recording runs."""
    folders = ("icefall_discrete", "local", "egs/asterisk/ASR/local", "egs/asterisk/ASR/conf")
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*")) if path.suffix in CODE_SUFFIXES]
    return sha256("".join(f"{path.relative_to(root)} {sha256(path.read_bytes())}\n" for path in paths).encode())
