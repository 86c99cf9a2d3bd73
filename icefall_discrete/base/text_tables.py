"""Tables as Markdown, for pages, and as aligned text, for the terminal."""

from typing import Sequence


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
