"""model.json, the list of a folder that was handed on: its version, and the digest of each file."""

from pathlib import Path
from typing import Dict, Optional

from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.shapes import COUNT, OBJECT, read_shaped

CONTENTS = "model.json"
VERSION = 1
# What holds data alone: numbers, texts, and the pieces of sentencepiece.
DATA_SUFFIXES = (".json", ".safetensors", ".model", ".md", ".txt")
_SHAPES = {"version": COUNT, "files": OBJECT}
_FETCH = "fetch the model again"


def read_contents(folder: Path) -> Dict[str, str]:
    """The digest of each file that a model folder lists, by its path in the folder.

    Raises:
      FileNotFoundError, ValueError: if there is no list, or it is of a newer version, or names what is no data.
    """
    path = folder / CONTENTS
    if not path.is_file():
        is_experiment = (folder / "config.json").is_file()
        advice = "it is an experiment, give it as --exp-dir" if is_experiment else "correct the name"
        raise FileNotFoundError(f"{folder} is no model folder: it has no {CONTENTS}; {advice}.")
    found = read_json(path)
    if isinstance(found, dict) and "format" in found:
        raise ValueError(
            f"{folder} is an exported model; run it by icefall-discrete onnx, or give the experiment that it is from."
        )
    contents = read_shaped(path, _SHAPES, _FETCH)
    if contents["version"] > VERSION:
        raise ValueError(
            f"{folder} is a model of version {contents['version']}, known is {VERSION}; use a newer program."
        )
    for name, digest in contents["files"].items():
        inside = path_inside(folder, name, f"{path}: a file")
        if inside.suffix not in DATA_SUFFIXES or not isinstance(digest, str):
            raise ValueError(f"{path} lists {name!r}, expected files of data alone: {', '.join(DATA_SUFFIXES)}.")
    return contents["files"]


def check_model_folder(folder: Path) -> Path:
    """The folder, once each of its files is there and whole.

    Raises:
      FileNotFoundError, ValueError: as `read_contents`; ValueError for a file that is missing or another one.
    """
    for name, digest in read_contents(folder).items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing, though {CONTENTS} lists it; {_FETCH}.")
        if digest_of_file(path) != digest:
            raise ValueError(f"{path} is another file than {CONTENTS} lists; {_FETCH}.")
    return folder


def is_published(folder: Optional[Path]) -> bool:
    """Whether a folder has the list of a model folder."""
    return folder is not None and (folder / CONTENTS).is_file()
