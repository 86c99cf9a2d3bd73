"""Tables of results as Markdown, for RESULTS.md, and as aligned text, for the terminal."""

from typing import Any, Dict, List, Optional, Sequence

Json = Dict[str, Any]


def _shown(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def _look_up(row: Json, *keys: str) -> Any:
    value: Any = row
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    marks = ["---", *("---:" for _ in header[1:])]
    lines = [header, marks, *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of aligned columns for a terminal; all columns but the first are right-aligned."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(cell.rjust(w) if column else cell.ljust(w) for column, (cell, w) in enumerate(zip(line, widths)))
        for line in [header, ["-" * width for width in widths], *rows]
    ]
    return "".join(line.rstrip() + "\n" for line in lines)


def languages_of(rows: Sequence[Json], split: str) -> List[str]:
    """All languages that some row has rates for on `split`, sorted."""
    return sorted({name for row in rows for name in (_look_up(row, "sets", split, "languages") or {})})


def set_table(name: str, scored: Json) -> str:
    """The table that scoring prints: WER, CER and counts of one set, per language and overall.

    Where the model says languages, LID % is how often they are right.
    """
    header = [name, "utterances", "words", "WER %", "CER %", "ins", "del", "sub"]
    says_languages = "language_id" in scored
    header += ["LID %"] if says_languages else []
    parts = list(scored["languages"].items())
    groups = [*(parts if len(parts) > 1 else []), ("all", scored)]
    return text_table(
        header,
        [
            [
                label,
                str(group["num_utterances"]),
                str(group["wer"]["num_ref"]),
                f"{group['wer']['rate']:.2f}",
                f"{group['cer']['rate']:.2f}",
                *(str(group["wer"][kind]) for kind in ("insertions", "deletions", "substitutions")),
                *([f"{group['language_id']['rate']:.1f}"] if says_languages else []),
            ]
            for label, group in groups
        ],
    )


def with_interval(rate: Optional[Json]) -> str:
    """An error rate in percent, with half of its interval if it has one; nothing for None."""
    if not rate:
        return ""
    interval = rate.get("interval")
    return f"{rate['rate']:.1f}" + (f" ± {(interval[1] - interval[0]) / 2:.1f}" if interval else "")


def _names(row: Json, with_recipe: bool) -> List[str]:
    """First cells of a row; its recipe with the device where a table has rows of several."""
    return [row["feature_type"], *([f"{row['recipe']} ({row['device']})"] if with_recipe else [])]


def _heads(with_recipe: bool) -> List[str]:
    return ["feature type", *(["recipe"] if with_recipe else [])]


def main_table(rows: Sequence[Json], tests: Sequence[str], devs: Sequence[str], with_recipe: bool = False) -> str:
    """Error rates of each feature type beside its bit rate and size; those of test sets with their intervals."""
    header = [*_heads(with_recipe), "kbit/s", "entropy", "MB/hour"]
    header += [f"{split} {name} %" for split in (*tests, *devs) for name in ("WER", "CER")]
    rates = ("wer", "cer")
    said = [split for split in tests if any(_look_up(row, "sets", split, "language_id") for row in rows)]
    header += [f"{split} LID %" for split in said]
    return markdown_table(
        header,
        [
            [
                *_names(row, with_recipe),
                _shown(_scaled(_look_up(row, "features", "bits_per_second"), 1e-3), ".2f"),
                _shown(_scaled(_look_up(row, "features", "entropy_bits_per_second"), 1e-3), ".2f"),
                _shown(_scaled(_look_up(row, "features", "bytes_per_hour"), 1e-6), ".2f"),
                *(with_interval(_look_up(row, "sets", split, name)) for split in tests for name in rates),
                *(_shown(_look_up(row, "sets", split, name, "rate"), ".1f") for split in devs for name in rates),
                *(_shown(_look_up(row, "sets", split, "language_id", "rate"), ".1f") for split in said),
            ]
            for row in rows
        ],
    )


def _scaled(value: Optional[float], factor: float) -> Optional[float]:
    return None if value is None else value * factor


def language_table(rows: Sequence[Json], split: str, with_recipe: bool = False) -> str:
    """WER / CER of each feature type in each language."""
    languages = languages_of(rows, split)

    def cell(row: Json, *keys: str) -> str:
        wer, cer = (_look_up(row, "sets", split, *keys, name, "rate") for name in ("wer", "cer"))
        return "" if wer is None or cer is None else f"{wer:.1f} / {cer:.1f}"

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
    """Error rates and cost of one model's searches; a row without the name of a search is the recipe's own."""
    splits, rates = (*tests, *devs), ("wer", "cer")
    header = [*_heads(with_recipe), "search", *(f"{split} {name.upper()} %" for split in splits for name in rates)]
    header += ["decoding RTF", "memory (MiB)"]
    return markdown_table(
        header,
        [
            [
                *_names(row, with_recipe),
                row.get("search") or f"{_look_up(row, 'decoding', 'method') or ''} (the recipe's)",
                *(_shown(_look_up(row, "sets", split, name, "rate"), ".1f") for split in splits for name in rates),
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
