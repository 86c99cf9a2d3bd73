"""Tables of results as Markdown, for RESULTS.md; their columns are the figures that the rows have."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from icefall_discrete.base.environment import DIRTY
from icefall_discrete.base.text_tables import markdown_table
from icefall_discrete.metrics.facts import Metric, leading_metrics, metrics_of
from icefall_discrete.results.ledger import commits_of, is_dirty, seed_of, trained_by
from icefall_discrete.results.seeds import runs_of

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


def _names(row: Json, rows: Sequence[Json], with_recipe: bool) -> List[str]:
    """First cells of a row; its recipe with the device where a table has rows of several, its runs where some has."""
    marked = f"{row['feature_type']} ({DIRTY[1:]})" if any(map(is_dirty, runs_of(row))) else row["feature_type"]
    recipe = [f"{row['recipe']} ({row['device']})"] if with_recipe else []
    return [marked, *recipe, *([str(len(runs_of(row)))] if _has_several(rows) else [])]


def _has_several(rows: Sequence[Json]) -> bool:
    return any(len(runs_of(row)) > 1 for row in rows)


def _heads(rows: Sequence[Json], with_recipe: bool) -> List[str]:
    return ["feature type", *(["recipe"] if with_recipe else []), *(["runs"] if _has_several(rows) else [])]


def _aside_columns(rows: Sequence[Json], tests: Sequence[str]) -> List[Tuple[str, Metric]]:
    """Test sets and the figures beside what the task is measured by that some row has there."""
    return [
        (split, metric)
        for split in tests
        for metric in metrics_of(rows)
        if metric.is_aside and any(metric.of(_look_up(row, "sets", split)) is not None for row in rows)
    ]


def main_table(rows: Sequence[Json], tests: Sequence[str], devs: Sequence[str], with_recipe: bool = False) -> str:
    """Figures of each feature type beside its bit rate and size; those of test sets with their intervals."""
    metrics = leading_metrics(rows)
    columns = [(split, metric) for split in (*tests, *devs) for metric in metrics]
    aside = _aside_columns(rows, tests)
    header = [*_heads(rows, with_recipe), "kbit/s", "entropy", "MB/hour"]
    header += [f"{split} {metric.head}" for split, metric in (*columns, *aside)]

    def cell(row: Json, split: str, metric: Metric) -> str:
        scored = _look_up(row, "sets", split)
        has_interval = split in tests and not metric.is_aside
        shown = metric.with_interval(scored) if has_interval else metric.with_spread(scored)
        return shown or metric.undefined(scored)

    return markdown_table(
        header,
        [
            [
                *_names(row, rows, with_recipe),
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
        scored = _look_up(row, "sets", split, *keys)
        shown = (metric.with_spread(scored) or metric.undefined(scored) for metric in metrics)
        return " / ".join(filter(None, shown))

    return markdown_table(
        [*_heads(rows, with_recipe), *languages, "all"],
        [
            [*_names(row, rows, with_recipe), *(cell(row, "languages", name) for name in languages), cell(row)]
            for row in rows
        ],
    )


def _threads(row: Json) -> Optional[float]:
    """Threads of all processes that train."""
    return _scaled(_look_up(row, "training", "num_threads"), _look_up(row, "training", "world_size") or 1)


def cost_table(rows: Sequence[Json], test: str, with_recipe: bool = False) -> str:
    """What each row cost: parameters, training, extraction and decoding."""
    header = [*_heads(rows, with_recipe), "parameters (M)", "backend", "epochs", "audio seen (h)", "minutes"]
    header += ["core minutes", "threads", "s/epoch", "audio s/s", "extraction RTF", "decoding RTF", "machine"]
    return markdown_table(
        header,
        [
            [
                *_names(row, rows, with_recipe),
                _shown(_scaled(_look_up(row, "training", "num_parameters"), 1e-6), ".2f"),
                _look_up(row, "training", "backend") or "",
                _shown(_look_up(row, "training", "epochs"), ".3g"),
                _shown(_look_up(row, "training", "audio_hours"), ".1f"),
                _shown(_look_up(row, "training", "minutes"), ".1f"),
                _shown(_look_up(row, "training", "core_minutes"), ".1f"),
                _shown(_threads(row), ".3g"),
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
    columns += _aside_columns(rows, tests)
    header = [*_heads(rows, with_recipe), "search", *(f"{split} {metric.head}" for split, metric in columns)]
    header += ["decoding RTF", "memory (MiB)"]
    return markdown_table(
        header,
        [
            [
                *_names(row, rows, with_recipe),
                row.get("search") or f"{_look_up(row, 'decoding', 'method') or ''} (the recipe's)",
                *(metric.with_spread(_look_up(row, "sets", split)) for split, metric in columns),
                _shown(_look_up(row, "sets", tests[0], "decode_rtf"), ".4f"),
                _shown(_look_up(row, "sets", tests[0], "peak_memory_mib"), ".0f"),
            ]
            for row in rows
        ],
    )


def _search_of(row: Json) -> str:
    return f" ({row['search']})" if row.get("search") else ""


def _made_by(run: Json) -> str:
    """The commits of a run, each once, and the versions of packages."""
    trained = trained_by(run)
    decoded = [commit for commit in commits_of(run) if commit not in trained]
    versions = _look_up(run, "environment", "versions") or {}
    named = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
    made = f"commit{'s' if len(trained) > 1 else ''} {', '.join(trained)}"
    judges = {pair for scored in run["sets"].values() for pair in (scored.get("judges") or {}).items()}
    judged = "".join(f", judged by {name} {version}" for name, version in sorted(judges))
    return f"{made}{''.join(f', decoded by {one}' for one in decoded)}{judged}; {named}"


def provenance_list(lines: Sequence[Json]) -> str:
    """How to make each run of each line again: decoding setting, commit, versions and command."""
    parts = []
    for line in lines:
        decoding = f"{_look_up(line, 'decoding', 'method') or ''} {_look_up(line, 'decoding', 'suffix') or ''}"
        seeds: Dict[str, List[str]] = {}
        for run in runs_of(line):
            seeds.setdefault(_made_by(run), []).append(str(seed_of(run)))
        several = len(runs_of(line)) > 1
        made = [f"{made} (seed {', '.join(of)})" if several else made for made, of in seeds.items()]
        commands = [f"      {run.get('command') or ''}" for run in runs_of(line)]
        parts += [f"* **{line['feature_type']}**, {line['recipe']}{_search_of(line)}: {decoding}, {'; '.join(made)}"]
        parts += ["", *commands, ""]
    return "\n".join(parts)
