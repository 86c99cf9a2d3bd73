"""What kind of feature a feature type is, for whoever compares them: a spectrum or tokens, and of what."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from icefall_discrete.base.feature_types import find_feature_confs, read_feature_settings
from icefall_discrete.tokenizers import origin_of

Json = Mapping[str, Any]
# By kind and origin of a spec, in the order of legends.
_TITLES: Dict[Any, str] = {
    ("continuous", "spectrum"): "continuous spectrum",
    ("codes", "spectrum"): "tokens of the spectrum",
    ("codes", "codec"): "tokens of a codec",
    ("codes", "encoder"): "tokens of a pretrained encoder",
    ("continuous", "encoder"): "continuous, of a pretrained encoder",
}
_SEVERAL, _UNKNOWN = "of several kinds", "of a kind not noted"
FEATURE_KINDS = (*_TITLES.values(), _SEVERAL, _UNKNOWN)


def origins_in(provenance: Json) -> List[str]:
    """What the codes or features of a spec with this provenance are made from (ORIGINS of tokenizers), sorted.

    Several for streams, or frames side by side, of several; none where the tokenizer is not known here.
    """
    parts: List[Json] = list((provenance.get("views") or {}).values())
    parts += [provenance["base"]] if provenance.get("base") else []
    found = {origin for part in parts for origin in origins_in(part["provenance"])}
    found |= {origin_of(name.partition("_")[2]) for name in provenance.get("sources") or ()}
    return sorted(found | {origin_of(provenance.get("tokenizer", ""))} - {""})


def feature_kind(row: Json, conf_dirs: Sequence[Path] = ()) -> str:
    """The kind, one of FEATURE_KINDS, of the features of a result.

    A result from before origins were noted has what the JSON file of its feature type says now, looked for in
    `conf_dirs` and in the package.
    """
    features = row.get("features") or {}
    origins = features.get("origins") or _origins_of_type(row["feature_type"], conf_dirs)
    if len(origins) > 1:
        return _SEVERAL
    return _TITLES.get((features.get("kind"), *origins), _UNKNOWN)


def _origins_of_type(feature_type: str, conf_dirs: Sequence[Path]) -> List[str]:
    try:
        paths = find_feature_confs(feature_type, conf_dirs)
    except ValueError:  # a feature type of elsewhere
        return []
    found = set()
    for path in paths:
        values = read_feature_settings(path, conf_dirs)
        found.add(origin_of(values.get("tokenizer", "")))
        found.update(_origins_of_type(values["base"], (path.parent, *conf_dirs)) if values.get("base") else ())
    return sorted(found - {""})
