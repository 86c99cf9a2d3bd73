"""One result from those of several models that share a test set between them, such as one model a language."""

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.ledger import score_transcripts

Json = Dict[str, Any]
_SUMMED = ("minutes", "seconds_per_epoch", "num_parameters")
_SHARED = ("epochs", "stopped_by", "backend", "device", "num_threads", "world_size")


def joined_set(
    split: str, parts: Sequence[Sequence[Transcript]], facts: Sequence[Json], language_of: Mapping[str, str]
) -> Json:
    """Score the transcripts of all models as one set, as `score_transcripts` does.

    Args:
      split: its name. parts: transcripts of each model. facts: its entry of each model's result, for time and memory.
      language_of: language by cut id.
    Raises:
      ValueError: if two models have transcribed the same cut.
    """
    every = [transcript for part in parts for transcript in part]
    twice = len(every) - len({transcript.cut_id for transcript in every})
    if twice:
        raise ValueError(f"{twice} cuts of {split} were decoded by more than one of the models; give disjoint ones.")
    audio_sec = _sum(fact.get("audio_sec") for fact in facts)
    wall_sec = _sum(_product(fact.get("decode_rtf"), fact.get("audio_sec")) for fact in facts)
    return {
        **score_transcripts(every, dict(language_of)),
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
    return {
        **first,
        "recipe": recipe,
        "sets": sets,
        "command": "; ".join(result.get("command") or "" for result in results),
        "commands": {"each": [result.get("commands") for result in results]},
        "training": training,
        "decoding": {"method": first["decoding"]["method"], "suffix": first["decoding"]["suffix"]},
    }


def _sum(values: Iterable[Optional[float]]) -> Optional[float]:
    known = list(values)
    return None if any(value is None for value in known) else sum(known)


def _product(one: Optional[float], other: Optional[float]) -> Optional[float]:
    return None if one is None or other is None else one * other


def _same(values: List[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None
