"""One result from those of several models that share a test set between them, such as one model a language."""

import itertools
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol, Sequence, TypeVar

from icefall_discrete.results.ledger import commits_of


class OfCut(Protocol):
    """What a model says of a cut."""

    cut_id: str


Json = Dict[str, Any]
Said = TypeVar("Said", bound=OfCut)
BETWEEN_COMMANDS = "; "
_SUMMED = ("minutes", "core_minutes", "audio_hours", "label_hours", "seconds_per_epoch", "num_parameters")
_SHARED = ("seed", "epochs", "stopped_by", "backend", "device", "num_threads", "world_size")


def joined_set(
    split: str, parts: Sequence[Sequence[Said]], facts: Sequence[Json], score: Callable[[Sequence[Said]], Json]
) -> Json:
    """Score what all models said as one set.

    Args:
      split: its name. parts: what each model said. facts: its entry of each model's result, for time and memory.
      score: gives the scores of a set.
    Raises:
      ValueError: if two models have decoded the same cut.
    """
    every = [said for part in parts for said in part]
    twice = len(every) - len({said.cut_id for said in every})
    if twice:
        raise ValueError(f"{twice} cuts of {split} were decoded by more than one of the models; give disjoint ones.")
    audio_sec = _sum(fact.get("audio_sec") for fact in facts)
    wall_sec = _sum(_product(fact.get("decode_rtf"), fact.get("audio_sec")) for fact in facts)
    return {
        **score(every),
        "decode_rtf": wall_sec / audio_sec if wall_sec is not None and audio_sec else None,
        "peak_memory_mib": max((fact.get("peak_memory_mib") or 0.0 for fact in facts), default=None) or None,
        "num_too_short": _sum(fact.get("num_too_short") for fact in facts),
        "audio_sec": audio_sec,
    }


def joined_result(results: Sequence[Json], sets: Json, recipe: str) -> Json:
    """The result of all models together: costs and parameters are summed, what they share is kept, the rest is null.

    Args:
      results: of each model. sets: of `joined_set`, by split. recipe: name of the row in tables.
    Raises:
      ValueError: if their feature types, devices or searches differ.
    """
    first = results[0]
    for key in ("feature_type", "device", "search"):
        if any(result.get(key) != first.get(key) for result in results):
            values = ", ".join(str(result.get(key)) for result in results)
            raise ValueError(f"these results cannot be joined, as their {key} differs: {values}.")
    training = {name: _sum(result["training"].get(name) for result in results) for name in _SUMMED}
    training.update((name, _same([result["training"].get(name) for result in results])) for name in _SHARED)
    commits = list(dict.fromkeys(itertools.chain.from_iterable(map(commits_of, results))))
    return {
        **first,
        "environment": {**(first.get("environment") or {}), "commits": commits},
        "recipe": recipe,
        "sets": sets,
        "command": BETWEEN_COMMANDS.join(result.get("command") or "" for result in results),
        "settings_digests": [one for result in results for one in result.get("settings_digests") or ()] or None,
        "commands": {"each": [result.get("commands") for result in results]},
        "training": training,
        "decoding": {"method": first["decoding"]["method"], "suffix": first["decoding"]["suffix"]},
    }


def _sum(values: Iterable[Optional[float]]) -> Optional[float]:
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if len(known) == len(every) else None


def _product(one: Optional[float], other: Optional[float]) -> Optional[float]:
    return None if one is None or other is None else one * other


def _same(values: List[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None
