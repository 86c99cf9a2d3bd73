"""The section on noise of RESULTS.md: a task's figures and token stability against the signal-to-noise ratio.

Result files of noise lie below the other results: `noise/<row>.json`, as scoring writes them, whose sets are the clean
split and its noisy versions, and `noise/stability/<feature type>.json`, as the stage of token stability writes them.
"""

import itertools
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from icefall_discrete.audio.noise import Condition, condition_of
from icefall_discrete.base.shapes import OBJECT, TEXT, read_shaped
from icefall_discrete.base.text_tables import markdown_table, text_table
from icefall_discrete.metrics.facts import first_metric, leading_metrics
from icefall_discrete.results.ledger import read_ledger
from icefall_discrete.results.seeds import over_seeds
from icefall_discrete.results.tables import provenance_list

Json = Dict[str, Any]
CLEAN = "clean"
FOLDER = "noise"

_LEGEND = """\
The {split} set with noise added, decoded by the models of the tables above, which have seen no noise in training. The
ratio is that of the power of the whole utterance to the power of the noise. Babble is the sum of several utterances of
the training set; white, pink and brown noise fall by 0, 3 and 6 dB an octave. Token stability is the unit edit distance
between the codes of clean and of noisy audio in percent of the clean codes, and, behind the stroke, of codes without
repetitions; of several codebooks it is the mean. 0 means that noise changed no code.
"""


class NoiseResults(NamedTuple):
    """Rows of scored noisy sets, and the token stability of each feature type."""

    rows: List[Json]
    stability: List[Json]


def read_noise_results(results_dir: Path) -> NoiseResults:
    """Read the folder `noise` of a folder of results; both lists are empty if there is none.

    Raises:
      ValueError: for a file that is not a result.
    """
    folder = Path(results_dir) / FOLDER
    stability = []
    for path in sorted(folder.glob("stability/*.json")):
        shapes = {"feature_type": TEXT, "split": TEXT, "sets": OBJECT}
        advice = "it does not hold token stability: run local/token_stability.py again"
        stability.append(read_shaped(path, shapes, advice))
    return NoiseResults(read_ledger(sorted(folder.glob("*.json"))), stability)


def conditions_of(sets: Sequence[str], split: str) -> List[Condition]:
    """The conditions among the names of sets, by kind and falling ratio."""
    found = {condition for name in sets if (condition := condition_of(name, split)) is not None}
    return sorted(found, key=lambda condition: (condition.kind, -condition.snr_db))


def _ratios(conditions: Sequence[Condition]) -> List[float]:
    return sorted({condition.snr_db for condition in conditions}, reverse=True)


def _table(
    labels: Sequence[str],
    sets_of_label: Sequence[Json],
    split: str,
    cell: Callable[[Json], str],
    clean: Optional[str],
    form: Callable[[Sequence[str], Sequence[Sequence[str]]], str] = markdown_table,
) -> str:
    """A line for each label and kind of noise, a column for each ratio; `clean` None takes it from the clean split."""
    conditions = conditions_of([name for sets in sets_of_label for name in sets], split)
    ratios = _ratios(conditions)
    kinds = sorted({condition.kind for condition in conditions})
    lines = []
    for label, sets in zip(labels, sets_of_label):
        for kind in kinds:
            if not any(condition.kind == kind for condition in conditions_of(list(sets), split)):
                continue
            found = [sets.get(Condition(kind, ratio).set_name(split)) for ratio in ratios]
            whole = clean if clean is not None else (cell(sets[split]) if split in sets else "")
            lines.append([label, kind, whole, *(cell(scored) if scored else "" for scored in found)])
    return form(["feature type", "noise", CLEAN, *(f"{ratio:g} dB" for ratio in ratios)], lines)


def _label(row: Json) -> str:
    return f"{row['feature_type']} ({row['search']})" if row.get("search") else row["feature_type"]


def figures_table(rows: Sequence[Json], split: str) -> str:
    """Figures of each model under each noise, as in "WER / CER"; the first with half of its interval."""
    first, *others = leading_metrics(rows)

    def cell(scored: Json) -> str:
        figures = [first.with_interval(scored), *(metric.with_spread(scored) for metric in others)]
        return " / ".join(shown or metric.undefined(scored) for metric, shown in zip((first, *others), figures))

    return _table(
        [_label(row) for row in rows],
        [row["sets"] for row in rows],
        split,
        cell,
        None,
    )


def _stability_cell(compared: Json) -> str:
    return f"{compared['ued']:.1f} / {compared['ued_without_repetitions']:.1f}"


def stability_table(stability: Sequence[Json], split: str) -> str:
    """Unit edit distance in percent, with / without repetitions, of each feature type under each noise."""
    names = [content["feature_type"] for content in stability]
    return _table(names, [content["sets"] for content in stability], split, _stability_cell, "0.0 / 0.0")


def stability_text(content: Json) -> str:
    """The table of one feature type for a terminal."""
    return _table(
        [content["feature_type"]], [content["sets"]], content["split"], _stability_cell, "0.0 / 0.0", text_table
    )


def noise_section(results: NoiseResults, split: str, chart: Optional[str]) -> str:
    """Markdown of the section.

    Args:
      results: at least one row. split: the clean split. chart: path of the chart relative to the page, or None.
    """
    parts = [f"## Noise: {split}\n", _LEGEND.format(split=split)]
    if chart:
        kind = first_metric(results.rows).kind.capitalize()
        parts.append(f"![{kind} and token stability against the signal-to-noise ratio]({chart})\n")
    for (recipe, device), group in itertools.groupby(
        over_seeds(results.rows), key=lambda row: (row["recipe"], row["device"])
    ):
        same = list(group)
        heads = " / ".join(metric.head for metric in leading_metrics(same))
        parts += [f"### Recipe `{recipe}` on {device}, {split} with noise: {heads}\n", figures_table(same, split)]
    stable = [content for content in results.stability if content["split"] == split and content["sets"]]
    if stable:
        parts += ["### Token stability: unit edit distance %, with / without repetitions\n"]
        parts += [stability_table(stable, split)]
    return "\n".join([*parts, "### How each row under noise was made\n", provenance_list(over_seeds(results.rows))])
