"""Digests of settings files, of what they say and not of how it is written.

Spaces, line ends, the order of keys and `1` for `1.0` change nothing about a JSON file's meaning, so they do not change
its digest either, nor does a new name of the same weights: a stage that is redone when its settings change is not
redone for them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

from icefall_discrete.base.feature_types import FEATURES_DIR, VIEW_SEPARATOR, named_conf, read_feature_settings
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.layered_json import BASED_ON
from icefall_discrete.base.weights import in_known_words

PathLike = Union[str, Path]

_MOST_STEPS = 32  # from a feature type to the parts of its parts
DIGEST_LENGTH = 16  # hexadecimal digits: 64 bits, no two settings of one project meet by chance


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def canonical_json(value: Any) -> str:
    """One line of JSON that is the same for equal values: keys sorted, whole numbers without a point."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def json_digest(value: Any) -> str:
    """Hexadecimal digest of a JSON value, the same for equal values."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:DIGEST_LENGTH]


def _find_part(name: str, whole: Path, conf_dirs: Sequence[Path]) -> List[Path]:
    folders = (whole.parent, *conf_dirs)
    found = named_conf(name, folders)
    if found:
        return [found]
    if VIEW_SEPARATOR in name:
        return [path for view in name.split(VIEW_SEPARATOR) for path in _find_part(view, whole, conf_dirs)]
    searched = ", ".join(map(str, (*folders, FEATURES_DIR)))
    raise ValueError(f"{whole}: is made of feature type '{name}', which is in none of {searched}.")


def digests_of(paths: Sequence[PathLike], conf_dirs: Sequence[Path] = ()) -> List[Tuple[Path, str]]:
    """JSON files with their digests, in order, each followed by the feature types (`views`, `base`) that it is made of.

    A part is looked for beside its file, then in `conf_dirs`, then in the package. A file met twice is listed once.

    Raises:
      FileNotFoundError: if a file does not exist.
      ValueError: if one is no JSON, its part is unknown, or it is made of itself.
    """
    digests: Dict[Path, str] = {}

    def visit(path: Path, above: Tuple[Path, ...]) -> None:
        if path.resolve() in above:
            raise ValueError(f"{path}: this feature type is made of itself, by way of {above[-1]}; correct either.")
        if len(above) > _MOST_STEPS:
            raise ValueError(f"{above[0]}: this feature type is made of others in more than {_MOST_STEPS} steps.")
        if path in digests:
            return
        value = read_json(path)
        if isinstance(value, dict) and BASED_ON in value:
            value = read_feature_settings(path, conf_dirs)
        digests[path] = json_digest(in_known_words(value))
        made_of = value if isinstance(value, dict) else {}
        views = made_of.get("views", [])
        names = [*(views if isinstance(views, list) else []), made_of.get("base")]
        for name in names:
            if isinstance(name, str):
                for part in _find_part(name, path, conf_dirs):
                    visit(part, (*above, path.resolve()))

    for path in paths:
        visit(Path(path), ())
    return list(digests.items())
