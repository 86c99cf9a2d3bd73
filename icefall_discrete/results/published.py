"""Figures of others beside ours: a row of a paper's table, and our run of the same feature type and recipe."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from icefall_discrete.results.tables import markdown_table

Json = Dict[str, Any]
NUMBER = ".2f"


def our_rate(rows: Sequence[Json], published: Json, split: str, rate: str) -> Optional[float]:
    """Our error rate (`rate`: wer or cer) in percent where a published row was repeated; None if it was not.

    The run with the row's feature type and recipe, by the recipe's own search; where there are several, that on a GPU.
    """
    wanted = (published.get("feature_type"), published.get("recipe"))
    found = [row for row in rows if (row["feature_type"], row["recipe"]) == wanted and not row.get("search")]
    for row in sorted(found, key=lambda row: row["device"] != "cuda"):
        scored = row["sets"].get(split)
        if scored:
            return scored[rate]["rate"]
    return None


def _columns(published: Sequence[Json]) -> List[Tuple[str, str]]:
    columns = [(split, rate) for row in published for split, rates in row["sets"].items() for rate in rates]
    return list(dict.fromkeys(columns))


def _cells(row: Json, ours: Sequence[Json], columns: Sequence[Tuple[str, str]]) -> List[str]:
    cells = []
    for split, rate in columns:
        pair = (row["sets"].get(split, {}).get(rate), our_rate(ours, row, split, rate))
        cells += ["" if value is None else format(value, NUMBER) for value in pair]
    return cells


def published_table(published: Sequence[Json], ours: Sequence[Json]) -> str:
    """Published figures, each with its source, and in the column behind each ours; empty: not published, not run.

    Args:
      published: {"system", "source", "sets": {split: {"wer" or "cer": percent}}}, and "feature_type" and "recipe" (with
        its variant, as in the other tables) where we have the same.
      ours: results, as `read_ledger` gives them.
    Raises:
      ValueError: if a published row lacks its system, its source or its sets.
    """
    for row in published:
        missing = [key for key in ("system", "source", "sets") if key not in row]
        if missing:
            raise ValueError(f"published figures: the row {row} has no {', '.join(missing)}; correct the file.")
    columns = _columns(published)
    header = ["system", "feature type", "recipe"]
    header += [name for split, rate in columns for name in (f"{split} {rate.upper()} %", "ours")]
    return markdown_table(
        [*header, "source"],
        [
            [
                row["system"],
                row.get("feature_type", ""),
                row.get("recipe", ""),
                *_cells(row, ours, columns),
                row["source"],
            ]
            for row in published
        ],
    )
