"""Centroids that others published: scikit-learn models saved with joblib or pickle, npy, safetensors, torch.

The k-means of fairseq, GSLM, mHuBERT (`km.bin`, `*.km`), ESPnet (`km_2000.mdl`) and SpeechBrain (`*.pt`) are pickles of
scikit-learn's KMeans or MiniBatchKMeans. They are read without scikit-learn or joblib, and nothing in them is run: an
object becomes a `Record` of its attributes, an array is read from its bytes, anything else is refused by name. Letters:
V centroids, D dimensions.
"""

import bz2
import functools
import io
import lzma
import math
import pickle
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np
from safetensors.numpy import load as load_safetensors

from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.base.inert_pickle import BoundedStream, ClassFilter, InertUnpickler, Record, reason_of, shown

# Packages of the objects inside a saved KMeans; older scikit-learn brought a joblib of its own.
MODEL_RECORDS = ("sklearn", "joblib", "numpy")
MODEL_CLASSES = ("KMeans", "MiniBatchKMeans")
CENTROID_NAMES = ("cluster_centers_", "centroids", "codebook")
# No codebook is larger, unpacked; a small file could unpack to any size.
MAX_UNPACKED = 2**28
_GZIP_BITS = 31
_STATE = ("centroids", "mean", "scale")


def _lzma() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=MAX_UNPACKED)


_DECOMPRESSORS: Tuple[Tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", functools.partial(zlib.decompressobj, _GZIP_BITS)),
    (b"\x78\x01", zlib.decompressobj),
    (b"\x78\x5e", zlib.decompressobj),
    (b"\x78\x9c", zlib.decompressobj),
    (b"\x78\xda", zlib.decompressobj),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", _lzma),
    (b"\x5d\x00\x00", _lzma),
)


def read_centroids(path: Path) -> Dict[str, np.ndarray]:
    """Read the file of centroids `path`, of any of the kinds above; the content decides, not the suffix.

    Returns:
      centroids (V, D), and mean (D,) and scale (D,) of the frames they belong to: 0 and 1, unless the file is one of
      ours; all float32.
    Raises:
      FileNotFoundError: if there is no such file. ValueError: if it holds no centroids, or more than data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"centroids {path} do not exist; correct `kmeans_path`.")
    try:
        arrays = _read_any(path)
    except Exception as error:  # what a file can get wrong has no end, and each fails in its own way
        if str(error).startswith(str(path)):
            raise ValueError(str(error)) from None
        raise ValueError(f"centroids {path} are refused: {reason_of(error)}. Nothing of the file was run.") from None
    wrong = [name for name, array in arrays.items() if name in _STATE and array.dtype.kind != "f"]
    if wrong:
        raise ValueError(f"{path} holds {wrong[0]} of type {arrays[wrong[0]].dtype}, expected an array of floats.")
    centroids = np.array(arrays["centroids"], dtype=np.float32)
    if centroids.ndim != 2 or 0 in centroids.shape or not np.isfinite(centroids).all():
        raise ValueError(f"{path} holds an array {centroids.shape}, expected finite centroids (V, D).")
    dim = centroids.shape[1]
    others = {"mean": np.zeros(dim, np.float32), "scale": np.ones(dim, np.float32)}
    found = {key: np.array(arrays.get(key, default), dtype=np.float32) for key, default in others.items()}
    if (
        any(value.shape != (dim,) or not np.isfinite(value).all() for value in found.values())
        or not found["scale"].all()
    ):
        raise ValueError(f"{path}: expected finite mean and scale of {dim} dimensions, and no scale of 0.")
    return {"centroids": centroids, **found}


def _read_any(path: Path) -> Dict[str, np.ndarray]:
    if zipfile.is_zipfile(path):
        return {"centroids": _array_in(read_checkpoint(path))}
    content = path.read_bytes()
    if content.startswith(b"\x93NUMPY"):
        # Mapped, as the shape of the header is then compared with the file before memory is taken.
        return {"centroids": _array_in(np.load(path, mmap_mode="r", allow_pickle=False))}
    for prefix, decompressor in _DECOMPRESSORS:
        if content.startswith(prefix) and not _is_safetensors(content):
            content = _unpacked(content, decompressor())
            break
    if content[:1] == b"\x80" and not _is_safetensors(content):
        return {"centroids": _array_in(_ModelReader(content).load())}
    arrays = load_safetensors(content)
    return arrays if "centroids" in arrays else {"centroids": _array_in(arrays)}


def _is_safetensors(content: bytes) -> bool:
    """Its first byte alone, of the length of a header of JSON, may be that of any kind."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _unpacked(content: bytes, decompressor: Any) -> bytes:
    unpacked = decompressor.decompress(content, MAX_UNPACKED + 1)
    if len(unpacked) > MAX_UNPACKED:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED} bytes")
    if not decompressor.eof:
        raise EOFError("it is cut short")
    return unpacked


def _array_in(value: Any) -> np.ndarray:
    """The centroids in what a file held: a k-means model, a dictionary with one array or a known name, or an array."""
    if isinstance(value, Record):
        name = value.path.rsplit(".", 1)[-1]
        if name not in MODEL_CLASSES:
            raise ValueError(f"it holds a {shown(value.path)}, expected {' or '.join(MODEL_CLASSES)}")
        value = value.attributes
    if isinstance(value, Mapping):
        known = [value[name] for name in CENTROID_NAMES if name in value]
        if not known and len(value) != 1:
            names = shown(", ".join(name for name in list(value)[:8] if isinstance(name, str)))
            raise ValueError(f"it holds {names}, expected {' or '.join(CENTROID_NAMES)}")
        value = known[0] if known else next(iter(value.values()))
    if hasattr(value, "detach"):
        value = value.detach().float().numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        found = f"of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"its centroids are {found}, expected an array of floats")
    return value


def _dtype(record: Any) -> np.dtype:
    """The type that a pickled numpy.dtype tells of; numbers only."""
    code = record.args[0] if isinstance(record, Record) and record.path == "numpy.dtype" and record.args else None
    if not isinstance(code, str) or re.fullmatch(r"[fiub]\d{1,2}", code) is None:
        raise ValueError("it holds an array of something else than numbers")
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "="
    return np.dtype(code).newbyteorder("<" if order == "<" else ">" if order == ">" else "=")


def _shape(value: Any) -> Tuple[int, ...]:
    if not isinstance(value, tuple) or not all(isinstance(size, int) and size >= 0 for size in value):
        raise ValueError("it holds an array of a shape that is none")
    return value


class _ModelReader(InertUnpickler):
    """Reads a pickle, with or without joblib's arrays, into containers, numbers, arrays and `Record`s.

    joblib puts the bytes of an array into the stream itself, behind the state of what stands for it.
    """

    dispatch = InertUnpickler.dispatch.copy()

    def __init__(self, content: bytes) -> None:
        super().__init__(BoundedStream(io.BytesIO(content), len(content)), ClassFilter(MODEL_RECORDS), "latin1")

    def load_build(self) -> None:
        """Set the state of an object; an array is then complete and takes its place."""
        self.spend(1)
        super().load_build()
        top = self.stack[-1]
        array = self._array_of(top) if isinstance(top, Record) else None
        if array is not None:
            self.stack[-1] = array

    dispatch[pickle.BUILD[0]] = load_build

    def _array_of(self, record: Record) -> Optional[np.ndarray]:
        if record.path.endswith("numpy_pickle.NumpyArrayWrapper"):
            return self._joblib_array(record.attributes)
        if record.path.rsplit(".", 1)[-1] == "_reconstruct":
            _, shape, dtype, fortran_order, data = record.state
            if isinstance(dtype, Record) and isinstance(data, bytes):
                array = np.frombuffer(data, dtype=_dtype(dtype))
                return array.reshape(_shape(shape), order="F" if fortran_order else "C")
        return None

    def _joblib_array(self, header: Dict[str, Any]) -> np.ndarray:
        dtype, shape = _dtype(header["dtype"]), _shape(header["shape"])
        if header.get("numpy_array_alignment_bytes") is not None:
            self.source.read(ord(self.source.read(1)))
        array = np.frombuffer(self.source.read(math.prod(shape) * dtype.itemsize), dtype=dtype)
        return array.reshape(shape, order="F" if header["order"] == "F" else "C")
