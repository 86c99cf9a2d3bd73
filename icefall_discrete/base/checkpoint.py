"""Checkpoints: plain tensors, dicts and numbers in one file, whole or absent.

They are read as data (guarded_pickle.py), so that a checkpoint from a stranger runs no code.
"""

import contextlib
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, Mapping, Optional, cast

import torch

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.base.inert_pickle import reason_of

_FLOAT = "float.hex"
_VERDICT = "is not a checkpoint of this program"
_ADVICE = "use another epoch, or train again from the checkpoint before"


def _pack(value: Any) -> Any:
    """Replace each Python float by {_FLOAT: its exact hexadecimal text}: torch 1.13 refuses floats in weights_only.

    Ours are read without torch.load; others may read them with it.
    """
    if isinstance(value, float):
        return {_FLOAT: value.hex()}
    if isinstance(value, dict):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_pack(item) for item in value)
    return value


def _unpack(value: Any) -> Any:
    """Undo `_pack`."""
    if isinstance(value, dict):
        if list(value) == [_FLOAT]:
            return float.fromhex(value[_FLOAT])
        return {key: _unpack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_unpack(item) for item in value)
    return value


class _PatientStream:
    """Takes over what torch writes; an error is kept, since one within torch's writer would end the process."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: Optional[OSError] = None

    def write(self, data: bytes) -> int:
        """Write, unless that failed before."""
        try:
            if self.error is None:
                self._stream.write(data)
        except OSError as error:
            self.error = error
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is flushed when it is closed."""


def write_torch(path: PathLike, value: Mapping[str, Any]) -> None:
    """Write tensors and plain values in torch's format, whole or not at all; OSError names the file."""
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        patient = _PatientStream(stream)
        torch.save(dict(value), cast(BinaryIO, patient))
        if patient.error is not None:
            raise patient.error


def save_checkpoint(path: PathLike, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, dicts, lists, tuples, numbers, strings, None) to `path`, atomically."""
    write_torch(path, _pack(dict(state)))


@contextlib.contextmanager
def holding_what_we_write(path: PathLike) -> Iterator[None]:
    """Around the use of what `load_checkpoint` read: entries that are missing, or other things, are a ValueError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else "an entry is of another kind than it should be"
        raise ValueError(f"{path} {_VERDICT}: {what}. Nothing of it was run; {_ADVICE}.") from error


def load_checkpoint(path: PathLike) -> Dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code it may hold.

    Raises:
      FileNotFoundError, ValueError: one sentence that names the file and says what to do.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; train that far first, or choose another epoch.")
    packed = read_checkpoint(Path(path), records=(), verdict=_VERDICT, advice=_ADVICE)
    try:
        state = _unpack(packed)
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}, expected a dictionary")
    except (OverflowError, TypeError, ValueError) as error:  # of numbers that are none
        raise ValueError(f"{path} {_VERDICT}: {reason_of(error)}. Nothing of it was run; {_ADVICE}.") from None
    return state
