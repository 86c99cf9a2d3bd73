"""The search for a feature type by name: JSON files, found without the tokenizers that they name, and without torch.

A feature type is a file `NAME.json` in a folder of the recipe's or in the package's conf/features, a path to such a
file, or several of either as parallel streams of one cut, `NAME+NAME`. It may say its differences to another one,
`{"based_on": NAME, ...}`; what is kept beside codes has all settings.
"""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from icefall_discrete import CONF_DIR
from icefall_discrete.base.layered_json import find_base, overlaid, read_based_layers
from icefall_discrete.base.names import known_names

FEATURES_DIR = CONF_DIR / "features"
# Between the names of feature types that are views of one cut.
VIEW_SEPARATOR = "+"


def known_feature_types(conf_dirs: Sequence[Path] = ()) -> List[str]:
    """Names of the feature types found in `conf_dirs` and in the package, sorted."""
    folders = [Path(folder) for folder in conf_dirs] + [FEATURES_DIR]
    return sorted({path.stem for folder in folders for path in folder.glob("*.json")})


def named_conf(feature_type: str, conf_dirs: Sequence[Path]) -> Optional[Path]:
    """The JSON file of `feature_type`, or None if there is none; see `find_feature_conf`."""
    candidates = [Path(folder) / f"{feature_type}.json" for folder in [*conf_dirs, FEATURES_DIR]]
    if feature_type.endswith(".json"):
        candidates = [Path(feature_type)]
    return next((path for path in candidates if path.is_file()), None)


def find_feature_conf(feature_type: str, conf_dirs: Sequence[Path] = ()) -> Path:
    """Return the JSON file of `feature_type`: a path to one, or NAME in `conf_dirs` (first wins), then the package.

    Raises FileNotFoundError for a path to no file, ValueError, listing the known ones, for an unknown name.
    """
    path = named_conf(feature_type, conf_dirs)
    if path is not None:
        return path
    if feature_type.endswith(".json"):
        raise FileNotFoundError(f"feature type file {feature_type} does not exist; give a path to a JSON file.")
    known = known_feature_types(conf_dirs)
    raise ValueError(
        f"unknown feature type '{feature_type}'; {known_names(known, feature_type)} Give one of these, a path to a "
        f"JSON file, or several of them joined by '{VIEW_SEPARATOR}'."
    )


def find_feature_confs(feature_type: str, conf_dirs: Sequence[Path] = ()) -> List[Path]:
    """The JSON file of each view of `feature_type`, in their order: one, unless several are joined by '+'.

    A file whose own name has a '+' in it comes before the views. Errors as `find_feature_conf` has them.
    """
    if named_conf(feature_type, conf_dirs) is not None:
        return [find_feature_conf(feature_type, conf_dirs)]
    found = [find_feature_conf(view, conf_dirs) for view in feature_type.split(VIEW_SEPARATOR)]
    names = [path.stem for path in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"feature type '{feature_type}' names the view '{twice}' twice; name each view once.")
    return found


def feature_type_name(feature_type: str, conf_dirs: Sequence[Path] = ()) -> str:
    """The name of `feature_type`, without the folders of paths: what its data is filed under."""
    return VIEW_SEPARATOR.join(path.stem for path in find_feature_confs(feature_type, conf_dirs))


def read_feature_settings(path: Union[str, Path], conf_dirs: Sequence[Path] = ()) -> Dict[str, Any]:
    """All settings of the feature type in a JSON file, those of what it is based on among them.

    That is looked for beside its file, then in `conf_dirs`, then in the package.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if it, or one below it, is no JSON object, is based on an unknown feature type, or on itself.
    """

    def base_file(name: Any, above: Path) -> Path:
        return find_base(name, above, (above.parent, *map(Path, conf_dirs), FEATURES_DIR))

    settings: Dict[str, Any] = {}
    for layer, _ in read_based_layers(Path(path), base_file, "a 'tokenizer' and its settings"):
        settings = overlaid(settings, layer)
    return settings
