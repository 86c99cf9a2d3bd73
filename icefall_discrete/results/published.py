"""Figures of others beside ours: a row of a paper's table, and our run of the same feature type and recipe."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.shapes import OBJECT, OBJECTS, TEXT, TEXTS, Shape, or_null, require, shown
from icefall_discrete.base.text_tables import markdown_table
from icefall_discrete.metrics.facts import Metric, metric_named

Json = Dict[str, Any]
_RECIPES = Shape("text or a list of texts", lambda value: TEXT.fits(value) or (TEXTS.fits(value) and bool(value)))
_ROW = {"system": TEXT, "source": TEXT, "sets": OBJECT, "feature_type": or_null(TEXT), "recipe": or_null(_RECIPES)}


def read_published(path: PathLike) -> List[Json]:
    """Read the published figures of a recipe, see `published_table`. Raises ValueError for a file of another form."""
    rows = read_json(path)
    if not OBJECTS.fits(rows):
        raise ValueError(f"{path} holds {shown(rows)}, expected a list of objects, one a published row; correct it.")
    for place, row in enumerate(rows):
        try:
            require(row, _ROW, f"row {place}")
            require(row["sets"], dict.fromkeys(row["sets"], OBJECT), f"'sets' of row {place}")
        except ValueError as error:
            raise ValueError(f"{path}: {error}; correct it.") from None
    return rows


def _one_a_recipe(row: Json) -> List[Json]:
    recipes = row.get("recipe")
    return [{**row, "recipe": recipe} for recipe in recipes] if isinstance(recipes, list) else [row]


def our_figure(rows: Sequence[Json], published: Json, split: str, metric: Metric) -> Optional[float]:
    """Our figure where a published row was repeated; None if it was not.

    The run with the row's feature type and recipe, by the recipe's own search; where there are several, that on a GPU.
    """
    wanted = (published.get("feature_type"), published.get("recipe"))
    found = [row for row in rows if (row["feature_type"], row["recipe"]) == wanted and not row.get("search")]
    for row in sorted(found, key=lambda row: row["device"] != "cuda"):
        scored = row["sets"].get(split)
        if scored:
            return metric.of(scored)
    return None


def _columns(published: Sequence[Json]) -> List[Tuple[str, Metric]]:
    columns = [(split, name) for row in published for split, figures in row["sets"].items() for name in figures]
    return [(split, metric_named(name)) for split, name in dict.fromkeys(columns)]


def _cells(row: Json, ours: Sequence[Json], columns: Sequence[Tuple[str, Metric]]) -> List[str]:
    cells = []
    for split, metric in columns:
        pair = (metric.of(row["sets"].get(split)), our_figure(ours, row, split, metric))
        cells += [metric.shown(value, more_decimals=1) for value in pair]
    return cells


def published_table(published: Sequence[Json], ours: Sequence[Json]) -> str:
    """Published figures, each with its source, and in the column behind each ours; empty: not published, not run.

    Args:
      published: {"system", "source", "sets": {split: {name of a metric: figure}}}, and "feature_type" and "recipe"
        (with its variant, as in the other tables) where we have the same. "recipe" may be a list, where a figure is
        the better of several systems: then it has a line for each of them, so that ours of all stand beside it.
      ours: results, as `read_ledger` gives them.
    Raises:
      ValueError: if a published row lacks its system, its source or its sets, or has a figure that is unknown.
    """
    for row in published:
        missing = [key for key in ("system", "source", "sets") if key not in row]
        if missing:
            raise ValueError(f"published figures: the row {row} has no {', '.join(missing)}; correct the file.")
    published = [single for row in published for single in _one_a_recipe(row)]
    columns = _columns(published)
    header = ["system", "feature type", "recipe"]
    header += [name for split, metric in columns for name in (f"{split} {metric.head}", "ours")]
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
