"""Checkpoints: plain tensors, dicts and numbers in one file, whole or absent.

Both kinds load without running any code, so that a checkpoint from a stranger is data.
"""

from typing import Any, Dict, Mapping

import torch

from icefall_discrete.base.atomic_files import PathLike, replacing

_FLOAT = "float.hex"


def _pack(value: Any) -> Any:
    """Replace each Python float by {_FLOAT: its exact hexadecimal text}: torch 1.13 refuses floats in weights_only."""
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


def save_checkpoint(path: PathLike, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, dicts, lists, tuples, numbers, strings, None) to `path`, atomically."""
    with replacing(path) as temporary:
        torch.save(_pack(dict(state)), temporary)


def load_checkpoint(path: PathLike) -> Dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code it may hold.

    Raises:
      FileNotFoundError, ValueError: one sentence that names the file and says what to do.
    """
    try:
        return _unpack(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; train that far first, or choose another epoch.") from None
    except Exception as error:  # a truncated or foreign file fails inside zipfile, pickle or torch, each its own way
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path} is not a checkpoint of this program ({reason}); delete it and rerun.") from error
