"""errors-<set>-<suffix>.html: aligned errors to read and audio to listen to, worst utterances first, without a server.

No scripts from elsewhere; the audio lies in a folder beside the page, so that both can be moved together.
"""

import hashlib
import html
import os
import shutil
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence
from urllib.parse import quote

from lhotse import MonoCut

from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.metrics.wer import (
    Pair,
    Transcript,
    align,
    characters_of,
    count_errors,
    total_errors,
    utterance_errors,
    words_themselves,
)
from icefall_discrete.systems.asr.error_report import shown_rate

STYLE = """\
body { font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }
article { border-top: 1px solid #ccc; padding: 0.6em 0; }
h2 { font-size: 1em; margin: 0; } h2 span { font-weight: normal; color: #666; }
.pairs span { display: inline-block; vertical-align: top; margin: 0.1em 0.3em 0.1em 0; text-align: center; }
.pairs b { display: block; font-weight: normal; min-height: 1.5em; }
.wrong { background: #fde8e4; border-radius: 3px; padding: 0 0.2em; } .wrong b + b { color: #b3261e; }
audio { height: 2em; display: block; margin: 0.3em 0; } label { margin-right: 1em; }"""
_FILTER = """\
function show() {
  const words = document.getElementById("find").value.toLowerCase(), group = document.getElementById("group").value;
  for (const item of document.querySelectorAll("article"))
    item.hidden = !(item.textContent.toLowerCase().includes(words) && (!group || item.dataset.group === group));
}"""


def audio_links(cuts: Iterable[MonoCut], page: Path) -> Dict[str, str]:
    """The audio of each cut, put into a folder beside `page`, as links; cuts whose recording is not one file have none.

    A cut that begins within its recording gets a media fragment, so that a browser plays the cut alone.
    """
    links: Dict[str, str] = {}
    beside: Dict[Path, str] = {}
    for cut in cuts:
        sources = cut.recording.sources if cut.has_recording else []
        if len(sources) != 1 or sources[0].type != "file":
            continue
        source = Path(sources[0].source).resolve()
        path = beside.get(source) or _beside(source, page)
        beside[source] = path
        whole = cut.start == 0 and abs(cut.duration - cut.recording.duration) < 0.01
        links[cut.id] = path if whole else f"{path}#t={cut.start:.2f},{cut.end:.2f}"
    return links


def _beside(source: Path, page: Path) -> str:
    """The link to a file that is put beside the page, without taking space where the disk is the same.

    Where that cannot be, or there is no such file, it leads to where the file was.
    """
    folder = page.with_suffix(".audio")
    try:
        state = source.stat()
        told = f"{source} {state.st_size} {state.st_mtime_ns}"
        target = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}{source.suffix}"
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source, target)
    except OSError:
        return quote(Path(os.path.relpath(source, page.resolve().parent)).as_posix())
    return quote(f"{folder.name}/{target.name}")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def error_page(
    title: str, transcripts: Sequence[Transcript], links: Mapping[str, str], language_of: Mapping[str, str]
) -> str:
    """The text of the page.

    Args:
      title: heading. transcripts: of one set. links: audio by cut id; a cut without one has no player.
      language_of: language by cut id, for the filter.
    """
    counts = {t.cut_id: count_errors(t.ref, t.hyp) for t in transcripts}
    worst_first = sorted(transcripts, key=lambda t: (-counts[t.cut_id].errors, t.cut_id))
    totals = [total_errors(utterance_errors(transcripts, of).values()) for of in (words_themselves, characters_of)]
    wer, cer = (shown_rate(total.known_rate) for total in totals)
    right = sum(count.errors == 0 for count in counts.values())
    groups = sorted(set(language_of.values()))
    options = "".join(f"<option>{html.escape(group)}</option>" for group in groups)
    return "\n".join(
        [
            f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
            f"<style>\n{STYLE}\n</style><script>\n{_FILTER}\n</script></head><body>",
            f"<h1>{html.escape(title)}</h1>",
            f"<p>WER {wer} %, CER {cer} %, {right} of {len(transcripts)} utterances without an "
            "error. Above: what was said; below: what was recognised.</p>",
            '<p><label>Find <input id="find" oninput="show()"></label>'
            f'<label>Language <select id="group" onchange="show()"><option value="">all</option>{options}</select>'
            "</label></p>",
            *(
                article(t, counts[t.cut_id].errors, links.get(t.cut_id), language_of.get(t.cut_id, ""))
                for t in worst_first
            ),
            "</body></html>\n",
        ]
    )


def article(transcript: Transcript, errors: int, link: Optional[str], language: str) -> str:
    """An utterance with its errors and its player; `link`: its audio, None for no player."""
    player = f'<audio controls preload="none" src="{html.escape(link)}"></audio>' if link else ""
    pairs = "".join(_cell(pair) for pair in align(transcript.ref, transcript.hyp))
    head = f"{html.escape(transcript.cut_id)} <span>{errors} errors, {len(transcript.ref)} words</span>"
    body = f'<h2>{head}</h2>{player}<div class="pairs">{pairs}</div>'
    return f'<article data-group="{html.escape(language)}">{body}</article>'


def _cell(pair: Pair) -> str:
    ref, hyp = (html.escape(word) if word is not None else "&middot;" for word in pair)
    rows: List[str] = [f"<b>{ref}</b>", f"<b>{hyp}</b>"]
    return f"<span{'' if pair[0] == pair[1] else ' class=wrong'}>{''.join(rows)}</span>"
