"""Speech in, codes or features out. `load_tokenizer` makes the tokenizer of a feature type; README.md lists them.

A feature type is a JSON file `NAME.json` = {"tokenizer": <name of a tokenizer>, <its settings>}, or what differs from
another one, {"based_on": <its name>, <settings>}; or several of them as parallel streams, `NAME+NAME`. A tokenizer's
name is that of its file here (or of a trained_* in a system's folder); of a file of frames/, for those frames as
continuous features; or `<file of frames/>_<file of quantizers/>`.
"""

import functools
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

from icefall_discrete.base import registry
from icefall_discrete.base.feature_types import (
    VIEW_SEPARATOR,
    feature_type_name,
    find_feature_confs,
    read_feature_settings,
)
from icefall_discrete.base.places import every_kind, walk
from icefall_discrete.base.settings import from_dict
from icefall_discrete.tokenizers.composed.continuous import ContinuousConfig, ContinuousFrames
from icefall_discrete.tokenizers.composed.quantized import QuantizedConfig, QuantizedFrames
from icefall_discrete.tokenizers.contract import SpeechTokenizer
from icefall_discrete.tokenizers.frames import find_frame_source, frame_source_modules
from icefall_discrete.tokenizers.quantizers import find_quantizer, quantizer_modules

__all__ = [
    "FeatureConf",
    "KnownTokenizer",
    "find_tokenizer",
    "load_tokenizer",
    "origin_of",
    "read_feature_conf",
    "setting_names",
    "tokenizer_names",
]

CONTRACT = "contract"
# In folders of this room lie the tokenizers that training makes, in files called trained_*.
SYSTEMS, TRAINED = "icefall_discrete.systems", "trained_"
# Where in a recipe's folder its feature types lie.
RECIPE_CONF = ("conf", "features")
# Makes feature types whose names are joined streams of one cut.
VIEWS_TOKENIZER = "multi_view"


class KnownTokenizer(NamedTuple):
    """A tokenizer found by its name: its class, and what reads its settings from an object of the file `where`."""

    tokenizer: Type[SpeechTokenizer]
    read: Callable[[Mapping[str, Any], str], Any]


def _tokenizer_modules() -> Dict[str, str]:
    """Dotted paths of the modules that hold a tokenizer, by its name."""
    found = {name: path for name, path in registry.modules_in(__name__).items() if name != CONTRACT}
    for system in registry.packages_in(SYSTEMS):
        modules = registry.modules_in(system)
        found.update((name, path) for name, path in modules.items() if name.startswith(TRAINED))
    return found


def _compositions() -> Dict[str, Tuple[str, str]]:
    """Source and quantizer (empty: none) of each tokenizer that is composed of them, by its name."""
    sources = frame_source_modules()
    alone = {source: (source, "") for source in sources}
    return {
        **alone,
        **{f"{source}_{quantizer}": (source, quantizer) for source in sources for quantizer in quantizer_modules()},
    }


def tokenizer_names() -> List[str]:
    """Names of all tokenizers, sorted."""
    return sorted({*_tokenizer_modules(), *_compositions()})


def find_tokenizer(name: str) -> KnownTokenizer:
    """The tokenizer called `name`, a file's before a composed one. Raises ValueError, listing the known ones."""
    modules, compositions = _tokenizer_modules(), _compositions()
    if name in modules:
        cls = registry.find_class(modules, name, SpeechTokenizer)
        return KnownTokenizer(cls, functools.partial(from_dict, cls.Config))
    if name not in compositions:
        raise ValueError(f"unknown tokenizer {name!r}; known: {', '.join(tokenizer_names())}.")
    source, quantizer = compositions[name]
    source_class = find_frame_source(source)
    if not quantizer:
        return KnownTokenizer(ContinuousFrames, functools.partial(ContinuousConfig.read, source, source_class))
    parts = (source, source_class), (quantizer, find_quantizer(quantizer))
    return KnownTokenizer(QuantizedFrames, functools.partial(QuantizedConfig.read, *parts))


def setting_names(name: str) -> List[str]:
    """The keys that a feature type of the tokenizer called `name` may have beside its name, sorted."""
    modules, compositions = _tokenizer_modules(), _compositions()
    if name in modules:
        configs = [registry.find_class(modules, name, SpeechTokenizer).Config]
    else:
        source, quantizer = compositions[name]
        configs = [find_frame_source(source).Config, *([find_quantizer(quantizer).Config] if quantizer else [])]
    places = [place for config in configs for place in walk(config, None, every_kind)]
    return sorted({key for place in places for key in (place.path[0], place.path[-1], *place.declared.formerly)})


def origin_of(name: str) -> str:
    """What the output of the tokenizer called `name` is made from, one of the contract's ORIGINS.

    Empty if others say it, its parts or sources, and for a name that is not known here.
    """
    modules, compositions = _tokenizer_modules(), _compositions()
    if name in modules:
        return registry.find_class(modules, name, SpeechTokenizer).origin
    return find_frame_source(compositions[name][0]).origin if name in compositions else ""


class FeatureConf(NamedTuple):
    """A feature type as it was found: its name, its tokenizer's class and settings, and where to look for its parts."""

    name: str
    tokenizer: Type[SpeechTokenizer]
    config: Any
    conf_dirs: Tuple[Path, ...]


def _from_recipe(value: Any, recipe: Path) -> Any:
    """A path `./...` that is not below the working folder is taken below the recipe's, in nested settings too."""
    if isinstance(value, dict):
        return {key: _from_recipe(held, recipe) for key, held in value.items()}
    if isinstance(value, list):
        return [_from_recipe(held, recipe) for held in value]
    is_elsewhere = isinstance(value, str) and value.startswith("./") and not Path(value).exists()
    return str(recipe / value) if is_elsewhere and (recipe / value).exists() else value


def read_feature_conf(feature_type: Union[str, Path], conf_dirs: Sequence[Path] = ()) -> FeatureConf:
    """Find a feature type and read its settings; see `load_tokenizer` for names and errors.

    What its settings name in their turn is looked for beside its file, then in `conf_dirs`, then in the package. Paths
    `./...` of a recipe's file, <recipe>/conf/features/NAME.json, hold for other recipes that are given that file, too.
    """
    asked = str(feature_type)
    paths = find_feature_confs(asked, conf_dirs)
    if len(paths) > 1:
        known = find_tokenizer(VIEWS_TOKENIZER)
        config = known.read({"views": asked.split(VIEW_SEPARATOR)}, asked)
        return FeatureConf(feature_type_name(asked, conf_dirs), known.tokenizer, config, tuple(conf_dirs))
    path = paths[0]
    values = read_feature_settings(path, conf_dirs)
    tokenizer = values.pop("tokenizer", None)
    if tokenizer not in tokenizer_names():
        raise ValueError(f"{path}: unknown tokenizer {tokenizer!r}; known: {', '.join(tokenizer_names())}.")
    known = find_tokenizer(tokenizer)
    if path.parent.parts[-2:] == RECIPE_CONF:
        values = _from_recipe(values, path.parents[2])
    return FeatureConf(path.stem, known.tokenizer, known.read(values, str(path)), (path.parent, *conf_dirs))


def load_tokenizer(
    feature_type: Union[str, Path], conf_dirs: Sequence[Path] = (), state_dir: Optional[Path] = None
) -> SpeechTokenizer:
    """Make the tokenizer of a feature type.

    Args:
      feature_type: NAME of a file NAME.json in `conf_dirs` or the package's conf/features, a path to such a file, or
        several of either joined by '+': parallel streams of one cut (multi_view.py).
      conf_dirs: folders searched before the package's own.
      state_dir: folder that holds, or will hold, its fitted state.
    Raises:
      ValueError: unknown feature type, tokenizer or setting; the message lists the known ones.
    """
    found = read_feature_conf(feature_type, conf_dirs)
    try:
        return found.tokenizer.make(found.name, found.config, state_dir, found.conf_dirs)
    except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
        # Of settings that fit their types and can be no tokenizer's; some are found out by the libraries only.
        reason, where = (
            " ".join(str(error).split()),
            ", ".join(map(str, find_feature_confs(str(feature_type), conf_dirs))),
        )
        raise ValueError(reason if where in reason else f"{where}: {reason}") from None
