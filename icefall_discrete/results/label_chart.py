"""A chart of a task's figures against hours of labels: a line a feature type, the same budget of audio along it."""

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.text_tables import markdown_table
from icefall_discrete.metrics.facts import Metric
from icefall_discrete.results.drawing import Caption, colours_of, dress, finish, shapes_of, stacked_panels
from icefall_discrete.results.feature_kinds import feature_kind
from icefall_discrete.results.ledger import DEFAULT_RECIPE

Json = Dict[str, Any]
# Recipes that are another with a part of the labels: labels_10 of default, full_labels_10 (or full_labels-0.1) of full.
_SHARE = re.compile(r"(?:(?P<whole>.+?)_)?labels[_-][\d.]+$")


class LabelCurve(NamedTuple):
    """The results of a feature type by hours of labels, rising; `kind` as in `feature_kind`."""

    label: str
    kind: str
    rows: Tuple[Tuple[float, Json], ...]


def recipe_of_all(recipe: str) -> str:
    """The recipe that uses all labels, of one that uses a part of them; a recipe that does is its own."""
    share = _SHARE.match(recipe)
    return recipe if share is None else share["whole"] or DEFAULT_RECIPE


def label_curves(rows: Sequence[Json], split: str, conf_dirs: Sequence[Path] = ()) -> List[LabelCurve]:
    """The feature types that were trained on several amounts of labels, by the recipe's own search.

    Args:
      rows: lines of results. split: the set whose figures are drawn. conf_dirs: for `feature_kind`.
    """
    groups: Dict[Tuple[str, str, str], Dict[float, Json]] = {}
    for row in rows:
        hours = (row.get("training") or {}).get("label_hours")
        if hours and not row.get("search") and (row.get("sets") or {}).get(split):
            name = row["feature_type"], recipe_of_all(row["recipe"]), row["device"]
            groups.setdefault(name, {})[hours] = row
    several = {name: group for name, group in groups.items() if len(group) > 1}
    recipes = {name[1:] for name in several}
    curves = []
    for (feature_type, recipe, device), group in several.items():
        label = f"{feature_type}, {recipe} ({device})" if len(recipes) > 1 else feature_type
        kind = feature_kind(next(iter(group.values())), conf_dirs)
        curves.append(LabelCurve(label, kind, tuple(sorted(group.items(), key=lambda one: one[0]))))
    return curves


def _captions(curve: LabelCurve, panel: Metric, split: str, colour: str, marker: str) -> List[Caption]:
    """The points of a curve; the last one has a label."""
    captions: List[Caption] = []
    for hours, row in curve.rows:
        scored = row["sets"][split]
        value = panel.of(scored)
        if value is not None:
            low, high = scored[panel.name].get("interval") or (value, value)
            text = f"{curve.label} {panel.shown(value)}"
            captions = [one._replace(text="") for one in captions]
            captions.append(Caption(hours, value, panel.possible(low, high), text, colour, marker))
    return captions


def draw_label_chart(
    path: PathLike, curves: Sequence[LabelCurve], panels: Sequence[Metric], split: str, title: str
) -> None:
    """Draw `curves` to a PNG file: a panel for each of `panels`, hours of labels on a logarithmic x axis.

    The last point of each line has its label. Raises ValueError if no curve has a figure for a panel.
    """
    colours = colours_of(sorted({curve.label for curve in curves}))
    shapes = shapes_of([curve.kind for curve in curves])
    lines = [
        [_captions(curve, panel, split, colours[curve.label], shapes[curve.kind]) for curve in curves]
        for panel in panels
    ]
    for panel, part in zip(panels, lines):
        if not any(part):
            raise ValueError(f"{path}: no result with hours of labels has a {panel.title}; score a run first.")
    points = [[caption for captions in part for caption in captions] for part in lines]
    texts = [[caption.text for caption in part if caption.text] for part in points]
    figure, axes = stacked_panels(title, texts)
    places = [[[(caption.x, caption.y) for caption in captions] for captions in part if captions] for part in lines]
    for axis, panel, part, all_points in zip(axes, panels, lines, points):
        for curve, captions in zip(curves, part):
            ends = [caption.x for caption in captions], [caption.y for caption in captions]
            axis.plot(*ends, color=colours[curve.label], linewidth=1.4, clip_on=False)
        dress(axis, panel, all_points)
    axes[-1].set_xlabel("hours of labelled speech (logarithmic)", fontsize=11)
    finish(path, figure, points, {}, shapes, curves=places)


def label_section(curves: Sequence[LabelCurve], panels: Sequence[Metric], split: str, chart: str) -> str:
    """A section of RESULTS.md: the chart, and its figures as a table. `chart`: its path, relative to the page."""
    header = ["feature type", "recipe", "hours of labels", "epochs", *(f"{split} {panel.head}" for panel in panels)]
    rows = [
        [
            curve.label,
            row["recipe"],
            f"{hours:.2f}",
            str((row.get("training") or {}).get("epochs") or ""),
            *(panel.with_interval(row["sets"][split]) for panel in panels),
        ]
        for curve in curves
        for hours, row in curve.rows
    ]
    title = f"{panels[0].kinds} against hours of labels"
    return "\n".join([f"\n## {title}, {split}\n", f"![{title}]({chart})\n", markdown_table(header, rows)])
