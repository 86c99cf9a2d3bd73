"""Error rates of one model against the size of its chunks: what it costs to wait less."""

from typing import Any, Dict, Sequence

from icefall_discrete.base.text_tables import markdown_table

Json = Dict[str, Any]


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def chunk_table(rows: Sequence[Json], split: str) -> str:
    """A table in Markdown of the rows that `local/sweep_chunk_size.py` writes; no chunk is the whole utterance."""
    header = ["chunk (frames)", "chunk (s)", "left context (s)", "waits (s)", f"{split} WER", f"{split} CER", "RTF"]
    return markdown_table(
        header,
        [
            [
                str(row["chunk_size"] or "whole"),
                _number(row["chunk_sec"], ".2f"),
                _number(row["left_context_sec"], ".2f"),
                _number(row["waits_sec"], ".2f"),
                _number(row["wer"], ".2f"),
                _number(row["cer"], ".2f"),
                _number(row["rtf"], ".3f"),
            ]
            for row in rows
        ],
    )
