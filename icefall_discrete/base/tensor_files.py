"""Files of safetensors: tensors by name and one JSON text beside them, whole or absent, and one sentence for damage."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.base.inert_pickle import reason_of
from icefall_discrete.base.json_files import parse_json


class TensorFile(NamedTuple):
    """What a file held: tensors by name, on the CPU, and the objects in its metadata, by name."""

    tensors: Dict[str, Tensor]
    made: Dict[str, Any]

    def all_finite(self) -> bool:
        """Whether every number of every tensor is finite."""
        return all(bool(torch.isfinite(value).all()) for value in self.tensors.values())


def _read(path: Path, wanted: Callable[[str], bool]) -> TensorFile:
    # The length of the header and the places of all tensors are held against the file's size by the library.
    with safe_open(str(path), framework="pt") as stream:
        made = {name: parse_json(text) for name, text in (stream.metadata() or {}).items() if text[:1] == "{"}
        names = [name for name in stream.keys() if wanted(name)]  # noqa: SIM118 (not a dictionary)
        return TensorFile({name: stream.get_tensor(name) for name in names}, made)


def read_tensors(path: PathLike, advice: str, wanted: Callable[[str], bool] = lambda name: True) -> TensorFile:
    """Read the `wanted` tensors of a file.

    Args:
      advice: the end of the sentence for a file that cannot be read: what to do.
    Raises:
      FileNotFoundError: if there is no such file. ValueError: if it is truncated, damaged or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {advice}.")
    try:
        if not path.is_file():
            raise ValueError("it is not a file")
        return _read(path, wanted)
    except Exception as error:  # the library has errors of its own, and torch others for types that it lacks
        reason = f"safetensors says: {error}" if type(error).__name__ == "SafetensorError" else reason_of(error)
    raise ValueError(f"{path} cannot be read ({' '.join(reason.split())}); {advice}.")


def write_tensors(path: PathLike, tensors: Mapping[str, Tensor], metadata: Optional[Dict[str, str]] = None) -> None:
    """Write tensors, whole or not at all; same tensors, same bytes.

    Args:
      metadata: at most one entry, as the library writes several in random order.
    """
    copies = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        # Not save_file, whose files are readable by their owner only.
        temporary.write_bytes(save(copies, metadata))


def as_text(made: Mapping[str, Any]) -> str:
    """An object as metadata holds it."""
    return json.dumps(made, sort_keys=True)
