"""A page with players: what was said of each text beside its recording. It opens without a server, and has no scripts.

The recordings lie in a folder beside the page, so that both can be moved together.
"""

import html
from pathlib import Path
from typing import List, Mapping, Optional, Sequence

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.data.cuts import language_of
from icefall_discrete.data.facts import facts_of, text_fact
from icefall_discrete.systems.asr.error_page import STYLE, audio_links
from icefall_discrete.systems.vocoder.files import Said
from icefall_discrete.systems.vocoder.heard import Heard

_TABLE = "table { border-collapse: collapse; } td { padding: 0.1em 1em 0.1em 0; } td:first-child { color: #666; }"


def listening_page(split: str, page: Path, cuts: CutSet, said: Mapping[str, Said], heard: Sequence[Heard] = ()) -> str:
    """The text of the page `page`; the recordings of `cuts` are put beside it.

    Args:
      said: audio by cut id, relative to the page's folder. heard: by a recogniser, of some of the cuts.
    """
    links, of_cut = audio_links(cuts, page), {line.cut_id: line for line in heard}
    title = html.escape(f"{split}: what was said, and the recordings")
    lines = [
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>\n{STYLE}\n{_TABLE}\n</style></head><body><h1>{title}</h1>",
    ]
    for cut in sorted(cuts, key=lambda one: one.id):
        rows = [_row("said", said[cut.id].audio), _row("recorded", links.get(cut.id))]
        if cut.id in of_cut:
            line = of_cut[cut.id]
            rows = [_row("said", said[cut.id].audio, line.said), _row("recorded", links.get(cut.id), line.original)]
        lines.append(_article(cut, said[cut.id].voice, rows))
    return "\n".join([*lines, "</body></html>\n"])


def _row(what: str, link: Optional[str], heard: str = "") -> str:
    player = f'<audio controls preload="none" src="{html.escape(link)}"></audio>' if link else ""
    return f"<tr><td>{what}</td><td>{player}</td><td>{html.escape(heard)}</td></tr>"


def _article(cut: Cut, voice: str, rows: List[str]) -> str:
    about = html.escape(", ".join(part for part in (language_of(cut), voice) if part))
    text = text_fact(facts_of(cut), "text") or ""
    head = f"<h2>{html.escape(cut.id)} <span>{about}</span></h2>"
    return f"<article>{head}<p>{html.escape(text)}</p><table>{''.join(rows)}</table></article>"
