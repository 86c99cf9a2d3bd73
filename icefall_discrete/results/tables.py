"""Tables of results as Markdown, for RESULTS.md; their columns are the figures that the rows have."""

from typing import Any, Dict, List, Optional, Sequence

from icefall_discrete.base.text_tables import markdown_table
from icefall_discrete.metrics.facts import Metric, leading_metrics, metrics_of

Json = Dict[str, Any]


def _shown(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def _look_up(row: Json, *keys: str) -> Any:
    value: Any = row
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def languages_of(rows: Sequence[Json], split: str) -> List[str]:
    """All languages that some row has rates for on `split`, sorted."""
    return sorted({name for row in rows for name in (_look_up(row, "sets", split, "languages") or {})})


def _names(row: Json, with_recipe: bool) -> List[str]:
    """First cells of a row; its recipe with the device where a table has rows of several."""
    return [row["feature_type"], *([f"{row['recipe']} ({row['device']})"] if with_recipe else [])]


def _heads(with_recipe: bool) -> List[str]:
    return ["feature type", *(["recipe"] if with_recipe else [])]


def main_table(rows: Sequence[Json], tests: Sequence[str], devs: Sequence[str], with_recipe: bool = False) -> str:
    """Figures of each feature type beside its bit rate and size; those of test sets with their intervals."""
    metrics = leading_metrics(rows)
    columns = [(split, metric) for split in (*tests, *devs) for metric in metrics]
    aside = [
        (split, metric)
        for split in tests
        for metric in metrics_of(rows)
        if metric.is_aside and any(metric.of(_look_up(row, "sets", split)) is not None for row in rows)
    ]
    header = [*_heads(with_recipe), "kbit/s", "entropy", "MB/hour"]
    header += [f"{split} {metric.head}" for split, metric in (*columns, *aside)]

    def cell(row: Json, split: str, metric: Metric) -> str:
        scored = _look_up(row, "sets", split)
        has_interval = split in tests and not metric.is_aside
        shown = metric.with_interval(scored) if has_interval else metric.shown(metric.of(scored))
        return shown or metric.undefined(scored)

    return markdown_table(
        header,
        [
            [
                *_names(row, with_recipe),
                _shown(_scaled(_look_up(row, "features", "bits_per_second"), 1e-3), ".2f"),
                _shown(_scaled(_look_up(row, "features", "entropy_bits_per_second"), 1e-3), ".2f"),
                _shown(_scaled(_look_up(row, "features", "bytes_per_hour"), 1e-6), ".2f"),
                *(cell(row, split, metric) for split, metric in (*columns, *aside)),
            ]
            for row in rows
        ],
    )


def _scaled(value: Optional[float], factor: float) -> Optional[float]:
    return None if value is None else value * factor


def language_metrics(rows: Sequence[Json], split: str) -> List[Metric]:
    """The figures a task is measured by that single languages have on `split`."""
    parts = [part for row in rows for part in (_look_up(row, "sets", split, "languages") or {}).values()]
    return leading_metrics([{"sets": dict(enumerate(parts))}])


def language_table(rows: Sequence[Json], split: str, with_recipe: bool = False) -> str:
    """The figures of each feature type in each language, as in "WER / CER"."""
    languages, metrics = languages_of(rows, split), language_metrics(rows, split)

    def cell(row: Json, *keys: str) -> str:
        values = [(metric, metric.of(_look_up(row, "sets", split, *keys))) for metric in metrics]
        scored = _look_up(row, "sets", split, *keys) or {}
        shown = (metric.shown(value) or metric.undefined(scored) for metric, value in values)
        return " / ".join(filter(None, shown))

    return markdown_table(
        [*_heads(with_recipe), *languages, "all"],
        [[*_names(row, with_recipe), *(cell(row, "languages", name) for name in languages), cell(row)] for row in rows],
    )


def cost_table(rows: Sequence[Json], test: str, with_recipe: bool = False) -> str:
    """What each row cost: parameters, training, extraction and decoding."""
    header = [*_heads(with_recipe), "parameters (M)", "backend", "epochs", "minutes", "s/epoch", "audio s/s"]
    header += ["extraction RTF", "decoding RTF", "machine"]
    return markdown_table(
        header,
        [
            [
                *_names(row, with_recipe),
                _shown(_scaled(_look_up(row, "training", "num_parameters"), 1e-6), ".2f"),
                _look_up(row, "training", "backend") or "",
                _shown(_look_up(row, "training", "epochs"), "d"),
                _shown(_look_up(row, "training", "minutes"), ".1f"),
                _shown(_look_up(row, "training", "seconds_per_epoch"), ".1f"),
                _shown(_look_up(row, "training", "audio_sec_per_sec"), ".1f"),
                _shown(_look_up(row, "features", "extraction_rtf"), ".4f"),
                _shown(_look_up(row, "sets", test, "decode_rtf"), ".4f"),
                _look_up(row, "device_name") or "",
            ]
            for row in rows
        ],
    )


def search_table(rows: Sequence[Json], tests: Sequence[str], devs: Sequence[str], with_recipe: bool = False) -> str:
    """Figures and cost of one model's searches; a row without the name of a search is the recipe's own."""
    columns = [(split, metric) for split in (*tests, *devs) for metric in leading_metrics(rows)]
    header = [*_heads(with_recipe), "search", *(f"{split} {metric.head}" for split, metric in columns)]
    header += ["decoding RTF", "memory (MiB)"]
    return markdown_table(
        header,
        [
            [
                *_names(row, with_recipe),
                row.get("search") or f"{_look_up(row, 'decoding', 'method') or ''} (the recipe's)",
                *(metric.shown(metric.of(_look_up(row, "sets", split))) for split, metric in columns),
                _shown(_look_up(row, "sets", tests[0], "decode_rtf"), ".4f"),
                _shown(_look_up(row, "sets", tests[0], "peak_memory_mib"), ".0f"),
            ]
            for row in rows
        ],
    )


def _search_of(row: Json) -> str:
    return f" ({row['search']})" if row.get("search") else ""


def provenance_list(rows: Sequence[Json]) -> str:
    """How to make each row again: decoding setting, commit, versions and command."""
    lines = []
    for row in rows:
        versions = _look_up(row, "environment", "versions") or {}
        named = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
        decoding = f"{_look_up(row, 'decoding', 'method') or ''} {_look_up(row, 'decoding', 'suffix') or ''}"
        commit = _look_up(row, "environment", "git") or ""
        lines += [
            f"* **{row['feature_type']}**, {row['recipe']}{_search_of(row)}: {decoding}, commit {commit}; {named}",
            "",
            f"      {row.get('command') or ''}",
            "",
        ]
    return "\n".join(lines)
