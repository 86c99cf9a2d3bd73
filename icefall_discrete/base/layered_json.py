"""JSON files of settings that say their differences to another file: `{"based_on": "default", ...}`."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

from icefall_discrete.base.json_files import as_json, read_object
from icefall_discrete.base.names import known_names
from icefall_discrete.base.settings import KIND

BASED_ON = "based_on"
Layer = Tuple[Dict[str, Any], Path]


def read_based_layers(path: Path, base_file: Callable[[Any, Path], Path], content: str) -> List[Layer]:
    """The objects of a file and of those it is based on, with their files; each stands above those before it.

    Args:
      base_file: the file of what a file says that it is based on. content: what such files hold, for errors.
    Raises:
      FileNotFoundError: if a file does not exist. ValueError: if one is no JSON object, or is based on itself.
    """
    layers: List[Layer] = []
    while True:
        if path.resolve() in [file.resolve() for _, file in layers]:
            raise ValueError(f"{path} is based on itself; correct {BASED_ON} in {layers[0][1]}.")
        values = read_object(path, content)
        base = values.pop(BASED_ON, None)
        layers.insert(0, (values, path))
        if base is None:
            return layers
        path = base_file(base, path)


def overlaid(below: Any, above: Any) -> Any:
    """`above` over `below`: objects setting by setting, if they are not of different kinds."""
    if not isinstance(above, dict):
        return above
    if isinstance(below, str) and KIND not in above:
        return {KIND: below, **above}
    if not isinstance(below, dict) or above.get(KIND, below.get(KIND)) != below.get(KIND):
        return above
    return {**below, **{key: overlaid(below.get(key), value) for key, value in above.items()}}


def find_base(name: Any, path: Path, folders: Sequence[Path]) -> Path:
    """What `path` is based on: NAME.json in one of the `folders`, the first wins, or else `name` as a file beside it.

    Raises ValueError, listing the known ones, if there is none.
    """
    candidates = [*(folder / f"{name}.json" for folder in folders), path.parent / str(name)]
    found = [file for file in candidates if file.is_file()]
    if not found:
        known = sorted({file.stem for folder in folders for file in folder.glob("*.json")})
        listed = known_names(known, str(name)).rstrip(".")
        raise ValueError(f"{path}: {BASED_ON} is {as_json(name)}; {listed}, or a file.")
    others = [file for file in found if file.resolve() != path.resolve()]  # one of the same name elsewhere is another
    return (others or found)[0]
