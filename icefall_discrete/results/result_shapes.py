"""What a result file must be: which of its entries tables, charts and estimates reckon with, and what they are."""

import shlex
from typing import Any, Dict, Mapping

from icefall_discrete.base.shapes import (
    COUNTS,
    NAME,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    WHOLE,
    Shape,
    is_number,
    or_null,
    require,
    shown,
)
from icefall_discrete.metrics.facts import known_metrics
from icefall_discrete.metrics.paired import UTTERANCES, require_utterance_counts


def _is_command(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(shlex.split(value) or not value.strip())
    except ValueError:
        return False


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


_COMMAND = Shape("a command line whose quotes are closed", _is_command)
_INTERVAL = Shape("a list of two numbers", _is_interval)
_WHOLE_FILE = {
    **dict.fromkeys(("feature_type", "recipe", "device"), NAME),
    "sets": OBJECT,
    "command": or_null(_COMMAND),
    "settings_digests": or_null(TEXTS),
    **dict.fromkeys(("search", "device_name"), or_null(TEXT)),
    **dict.fromkeys(("features", "training", "decoding", "environment", "commands"), or_null(OBJECT)),
}
_TRAINING_NUMBERS = (
    *("epochs", "label_hours", "audio_hours", "minutes", "core_minutes", "seconds_per_epoch", "audio_sec_per_sec"),
    *("num_parameters", "num_threads", "world_size"),
)
_FEATURE_NUMBERS = (
    *("frame_rate_hz", "feature_dim", "bits_per_second", "entropy_bits_per_second", "position_fraction_of_entropy"),
    *("bytes_per_hour", "extraction_rtf"),
)
_SECTIONS = {
    "training": {
        **dict.fromkeys(_TRAINING_NUMBERS, or_null(NUMBER)),
        **dict.fromkeys(("stopped_by", "backend", "device", "digest_but_seed"), or_null(TEXT)),
        "seed": or_null(WHOLE),
    },
    "features": {
        **dict.fromkeys(_FEATURE_NUMBERS, or_null(NUMBER)),
        "kind": or_null(TEXT),
        "codebook_sizes": or_null(COUNTS),
    },
    "decoding": dict.fromkeys(("method", "suffix", "git"), or_null(TEXT)),
    "environment": {
        **dict.fromkeys(("git", "cpu"), or_null(TEXT)),
        "commits": or_null(TEXTS),
        "versions": or_null(OBJECT),
    },
}
_OF_A_SET = dict.fromkeys(("decode_rtf", "peak_memory_mib"), or_null(NUMBER))
_FIGURE = {**dict.fromkeys(("rate", "value"), or_null(NUMBER)), "interval": or_null(_INTERVAL)}


def require_result(result: Mapping[str, Any], where: str) -> None:
    """Raise ValueError, a part of a sentence, if an entry of the file `where` is not of its shape."""
    require(result, _WHOLE_FILE, where)
    for name, shapes in _SECTIONS.items():
        require(result.get(name) or {}, shapes, f"'{name}' of {where}")
    stages = {name: text for name, text in (result.get("commands") or {}).items() if isinstance(text, str)}
    require(stages, dict.fromkeys(stages, _COMMAND), f"'commands' of {where}")
    for name, figures in result["sets"].items():
        _require_scored(figures, f"set '{name}' of {where}")


def _require_scored(figures: Any, what: str) -> None:
    if not isinstance(figures, dict):
        raise ValueError(f"{what} is {shown(figures)}, expected an object")
    require(figures, {**_OF_A_SET, **dict.fromkeys(("languages", "judges", UTTERANCES), or_null(OBJECT))}, what)
    require_utterance_counts(figures, what)
    for name in known_metrics():
        found = figures.get(name)
        if isinstance(found, dict):
            require(found, _FIGURE, f"'{name}' of {what}")
        elif found is not None and not is_number(found):
            raise ValueError(f"'{name}' of {what} is {shown(found)}, expected an object with its 'rate' or 'value'")
    languages: Dict[str, Any] = figures.get("languages") or {}
    for name, part in languages.items():
        _require_scored(part, f"language '{name}' of {what}")
