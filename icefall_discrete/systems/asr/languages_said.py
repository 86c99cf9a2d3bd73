"""The languages that a model said: `languages-<set>-<suffix>.txt`, and how often they are right."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from lhotse import CutSet

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.text_files import read_text
from icefall_discrete.data.cuts import language_of
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.metrics.classification import confusions
from icefall_discrete.metrics.language_id import identification
from icefall_discrete.text.pieces import TextEncoder

Json = Dict[str, Any]
_NONE = "-"


def write_languages(
    path: PathLike, cuts: CutSet, found: Mapping[str, List[Hypothesis]], text_encoder: TextEncoder
) -> None:
    """Write `<cut id><tab><language spoken><tab><language said>` for each cut, sorted by id; - stands for none.

    Args:
      found: hypotheses by cut id, best first; a cut may be absent.
    """
    lines = []
    for cut in sorted(cuts, key=lambda one: one.id):
        said = text_encoder.language_of(found[cut.id][0].labels) if cut.id in found else None
        lines.append(f"{cut.id}\t{language_of(cut) or _NONE}\t{said or _NONE}\n")
    write_text(path, "".join(lines))


def read_languages(path: PathLike) -> Optional[Dict[str, Optional[str]]]:
    """Language said by cut id, None for none; None if there is no such file: the model does not say languages."""
    if not Path(path).is_file():
        return None
    rows = (line.split("\t") for line in read_text(Path(path)).splitlines())
    return {cut_id: None if said == _NONE else said for cut_id, _, said in rows}


def with_language_id(scored: Json, said: Optional[Mapping[str, Optional[str]]], spoken: Mapping[str, str]) -> Json:
    """Add language identification to the scores of a set; without `said` they stay as they are.

    Args:
      scored: of `score_transcripts`. said, spoken: languages by cut id.
    Returns:
      the scores with "language_id": {"rate" in percent, "num", "correct", "none", "confusions"}, and in each of its
      "languages" {"rate", "num", "correct", "none"}.
    """
    if said is None:
        return scored
    languages = {}
    for language, row in scored["languages"].items():
        pairs = [(language, found) for cut_id, found in said.items() if spoken[cut_id] == language]
        languages[language] = {**row, "language_id": _counts(pairs)}
    pairs = [(spoken[cut_id], found) for cut_id, found in said.items()]
    overall = {**_counts(pairs), "confusions": confusions(pairs)}
    return {**scored, "languages": languages, "language_id": overall}


def _counts(pairs: List[Tuple[str, Optional[str]]]) -> Json:
    counts = identification(pairs)
    return {"rate": round(counts.rate, 4), "num": counts.num, "correct": counts.correct, "none": counts.none}
