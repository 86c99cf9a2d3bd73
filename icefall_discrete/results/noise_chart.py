"""A chart of noise: the task's figure and token stability against the signal-to-noise ratio; a line a model."""

import itertools
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.metrics.facts import Metric, first_metric
from icefall_discrete.results.drawing import COLOURS, MARKERS, add_heading
from icefall_discrete.results.noise import CLEAN, NoiseResults, conditions_of

Json = Dict[str, Any]
LINE_STYLES = ("-", "--", ":")
STABILITY = "unit edit distance"


class Curve(NamedTuple):
    """One line of one panel: percentages by ratio in dB, and `clean`, that of the clean set."""

    label: str
    kind: str
    clean: float
    percent: Dict[float, float]


def _curves(
    label: str, sets: Json, split: str, percent_of: Callable[[Json], Optional[float]], clean: float
) -> List[Curve]:
    percents: Dict[str, Dict[float, float]] = {}
    for condition in conditions_of(list(sets), split):
        percent = percent_of(sets[condition.set_name(split)])
        if percent is not None:
            percents.setdefault(condition.kind, {})[condition.snr_db] = percent
    return [Curve(label, kind, clean, percents[kind]) for kind in sorted(percents)]


def figure_curves(rows: Sequence[Json], split: str) -> List[Curve]:
    """The figure of each model with the recipe's own search under each noise."""
    if not rows:
        return []
    metric = first_metric(rows)
    own = [row for row in rows if not row.get("search") and split in row["sets"]]
    recipes = {(row["recipe"], row["device"]) for row in own}
    curves: List[Curve] = []
    for row in own:
        label = row["feature_type"] + (f" ({row['recipe']}, {row['device']})" if len(recipes) > 1 else "")
        sets = row["sets"]
        clean = metric.of(sets[split])
        if clean is not None:
            curves += _curves(label, sets, split, metric.of, clean)
    return curves


def stability_curves(stability: Sequence[Json], split: str) -> List[Curve]:
    """Unit edit distances of each feature type under each noise, repetitions included."""
    curves: List[Curve] = []
    for content in stability:
        if content["split"] == split:
            sets = content["sets"]
            curves += _curves(content["feature_type"], sets, split, lambda compared: compared["ued"], 0.0)
    return curves


def draw_noise_chart(path: PathLike, results: NoiseResults, split: str, title: str) -> None:
    """Draw a PNG file: a column of panels for each kind of noise, the task's figure above, unit edit distances below.

    Raises:
      ValueError: if no row has the clean and a noisy set.
    """
    figures = figure_curves(results.rows, split)
    if not figures:
        raise ValueError(f"{path}: no result has '{split}' and a noisy version of it; score both.")
    stability = Metric("ued", STABILITY, STABILITY, "")
    both = ((first_metric(results.rows), figures), (stability, stability_curves(results.stability, split)))
    rows = {shown: curves for shown, curves in both if curves}
    every = [curve for curves in rows.values() for curve in curves]
    kinds = sorted({curve.kind for curve in every})
    labels = list(dict.fromkeys(curve.label for curve in every))
    ratios = sorted({ratio for curve in every for ratio in curve.percent})
    figure = Figure(figsize=(1.2 + 3.6 * len(kinds), 1.6 + 3.2 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    add_heading(figure, title)
    grid = figure.subplots(len(rows), len(kinds), squeeze=False, sharex=True, sharey="row")
    for axes, (shown, curves) in zip(grid, rows.items()):
        for axis, kind in zip(axes, kinds):
            _draw_panel(axis, [curve for curve in curves if curve.kind == kind], labels, ratios)
        axes[0].set_ylabel(shown.axis_title, fontsize=11)
        top = max(max(curve.clean, *curve.percent.values()) for curve in curves)
        axes[0].set_ylim(0, 1.06 * top)
    for axis, kind in zip(grid[0], kinds):
        axis.set_title(kind, fontsize=12)
    for axis in grid[-1]:
        axis.set_xlabel("signal-to-noise ratio, dB", fontsize=11)
    handles = {handle.get_label(): handle for axis in grid.flat for handle in axis.get_lines()}
    drawn = [label for label in labels if label in handles]
    figure.legend(
        [handles[label] for label in drawn], drawn, loc="outside lower center", ncols=min(4, len(drawn)), frameon=False
    )
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def _draw_panel(axis: Axes, curves: Sequence[Curve], labels: Sequence[str], ratios: Sequence[float]) -> None:
    """Lines against the ratio; the clean set stands right of all ratios, as far as these lie apart at the most."""
    gaps = [after - before for before, after in itertools.pairwise(ratios)]
    clean_place = ratios[-1] + max(gaps, default=10.0)
    for curve in curves:
        number = labels.index(curve.label)
        places = sorted(curve.percent)
        axis.plot(
            [*places, clean_place],
            [*(curve.percent[place] for place in places), curve.clean],
            linestyle=LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)],
            linewidth=1.6,
            marker=MARKERS[number % len(MARKERS)],
            markersize=6,
            markeredgecolor="white",
            color=COLOURS[number % len(COLOURS)],
            label=curve.label,
            clip_on=False,
            zorder=3,
        )
    axis.axvline((ratios[-1] + clean_place) / 2, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axis.set_xticks([*ratios, clean_place], [*(f"{ratio:g}" for ratio in ratios), CLEAN])
    axis.tick_params(labelbottom=True, labelleft=True)
    axis.grid(True, axis="y", color="#dddddd", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
