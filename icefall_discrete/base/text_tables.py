"""Tables as Markdown, for pages, and as aligned text, for the terminal."""

from typing import List, Sequence, Tuple


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    marks = ["---", *("---:" for _ in header[1:])]
    lines = [header, marks, *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def without_empty_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], also: Sequence[str]
) -> Tuple[List[str], List[List[str]]]:
    """Header and rows of a table without the columns that have nothing in any row; those called `also` stay."""
    kept = [place for place, name in enumerate(header) if name in also or any(row[place] for row in rows)]
    return [header[place] for place in kept], [[row[place] for place in kept] for row in rows]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of aligned columns for a terminal; all columns but the first are right-aligned."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(cell.rjust(w) if column else cell.ljust(w) for column, (cell, w) in enumerate(zip(line, widths)))
        for line in [header, ["-" * width for width in widths], *rows]
    ]
    return "".join(line.rstrip() + "\n" for line in lines)
