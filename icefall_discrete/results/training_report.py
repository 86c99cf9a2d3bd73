"""report.html: a training on one page, without a server: curves, figures, the worst utterances, and where it errs."""

import html
import logging
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from lhotse import CutSet

from icefall_discrete.audio.loudness import loudness_of
from icefall_discrete.audio.reading import UnreadableAudio, load_finite
from icefall_discrete.base.shapes import OBJECT, or_null, read_shaped, require
from icefall_discrete.metrics.facts import leading_metrics
from icefall_discrete.metrics.wer import (
    ErrorCounts,
    Transcript,
    characters_of,
    count_errors,
    total_errors,
    utterance_errors,
    words_themselves,
)
from icefall_discrete.results.error_groups import confusions, groups_of
from icefall_discrete.results.inline_charts import bar_chart
from icefall_discrete.results.ledger import read_optional
from icefall_discrete.results.training_curves import training_charts
from icefall_discrete.systems.asr.error_page import STYLE, article, audio_links
from icefall_discrete.systems.asr.error_report import shown_rate

LOG = logging.getLogger(__name__)
Json = Dict[str, Any]
_MOST_CONFUSIONS = 20
_STYLE = (
    STYLE
    + """
main { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0; } figcaption { font-weight: bold; }
table { border-collapse: collapse; margin: 0.6em 0; } td, th { padding: 0.1em 0.8em 0.1em 0; text-align: left; }
td.number { text-align: right; } h2.part { font-size: 1.3em; margin-top: 1.2em; }
svg { max-width: 100%; height: auto; } .note { color: #666; }"""
)


class DecodedSet(NamedTuple):
    """A decoded set of a recogniser.

    name: of the set. method: the search. transcripts: as they are scored. cuts: of the set; None if they are gone.
    snr_db: by cut id, of the utterances that were listened to. errors_page: the page of all errors, relative to the
    report.
    """

    name: str
    method: str
    transcripts: Sequence[Transcript]
    cuts: Optional[CutSet]
    snr_db: Mapping[str, float]
    errors_page: str


def listen(cuts: CutSet, most: int) -> Dict[str, float]:
    """How far speech stands above what is between it (dB), by cut id, of the first `most` cuts whose audio is there."""
    found: Dict[str, float] = {}
    for cut in list(cuts)[:most]:
        try:
            samples = load_finite(cut, cut.sampling_rate)
        except UnreadableAudio as error:
            LOG.warning("%s; it has no place in the chart of noise.", error)
            continue
        found[cut.id] = loudness_of(samples.numpy(), cut.sampling_rate).snr_db
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{html.escape(one)}</th>" for one in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    kind = ' class="number"' if re.fullmatch(r"[\d.]+", str(value)) else ""
    return f"<td{kind}>{html.escape(str(value))}</td>"


def _figure(heading: str, svg: str) -> str:
    return f"<figure><figcaption>{html.escape(heading)}</figcaption>{svg}</figure>"


def _facts(exp_dir: Path) -> Iterator[str]:
    """What was trained, how long, and what came of it, as far as it is noted."""
    result, summary = _result(exp_dir / "result.json"), read_optional(exp_dir / "train.json")
    facts = {"feature type": result.get("feature_type"), "recipe": result.get("recipe")}
    facts.update({"parameters": summary.get("num_params"), "epochs": summary.get("num_epochs")})
    facts.update({"steps": summary.get("num_steps"), "minutes": _minutes(summary), "device": summary.get("device")})
    facts.update({"utterances, with copies": summary.get("train_cuts"), "made by": result.get("command")})
    rows = [(name, f"{value} ") for name, value in facts.items() if value is not None]
    if rows:
        yield _table(("", ""), rows)
    if not summary:
        yield '<p class="note">Training has not ended an epoch yet.</p>'
    sets = result.get("sets") or {}
    metrics = leading_metrics([result])
    figures = [
        (name, scored.get("num_utterances", "-"), *(_rate(scored.get(metric.name)) for metric in metrics))
        for name, scored in sets.items()
    ]
    if figures:
        method = (result.get("decoding") or {}).get("method", "")
        yield f"<h2 class=part>Figures of {html.escape(str(method))}</h2>"
        yield _table(("set", "utterances", *(one.head for one in metrics)), figures)


def _result(path: Path) -> Json:
    """A result.json, or an empty object; ValueError, naming the file and the key, for something else."""
    if not path.is_file():
        return {}
    advice = "score again, or move it away"
    result = read_shaped(path, {"sets": or_null(OBJECT), "decoding": or_null(OBJECT)}, advice)
    sets = result.get("sets") or {}
    try:
        require(sets, dict.fromkeys(sets, OBJECT), f"'sets' of {path}")
    except ValueError as error:
        raise ValueError(f"{error}; {advice}.") from None
    return result


def _minutes(summary: Json) -> Optional[float]:
    seconds = summary.get("train_sec")
    return round(seconds / 60, 1) if isinstance(seconds, (int, float)) else None


def _rate(value: Any) -> str:
    rate = value.get("rate") if isinstance(value, dict) else value
    return shown_rate(rate) if isinstance(rate, (int, float)) else "-"


def _set_part(decoded: DecodedSet, page: Path, num_worst: int) -> Iterator[str]:
    counts = {one.cut_id: count_errors(one.ref, one.hyp) for one in decoded.transcripts}
    wer, cer = (
        shown_rate(total_errors(utterance_errors(decoded.transcripts, of).values()).known_rate)
        for of in (words_themselves, characters_of)
    )
    right = sum(not one.errors for one in counts.values())
    heading = html.escape(f"Set {decoded.name}, {decoded.method}")
    yield f"<h2 class=part>{heading}: WER {wer} %, CER {cer} %</h2>"
    yield (
        f"<p>{right} of {len(counts)} utterances have no error. "
        f'<a href="{html.escape(decoded.errors_page)}">All errors</a></p>'
    )
    charts = _group_charts(decoded, counts)
    yield f"<main>{''.join(charts)}</main>" if charts else ""
    frequent = confusions(decoded.transcripts, _MOST_CONFUSIONS)
    if frequent:
        yield "<h2 class=part>Most frequent errors</h2>"
        yield _table(("said", "recognised", "times"), frequent)
    ordered = sorted(decoded.transcripts, key=lambda one: (-counts[one.cut_id].errors, one.cut_id))
    worst = [one for one in ordered[:num_worst] if counts[one.cut_id].errors]
    names = {one.cut_id for one in worst}
    shown = [cut for cut in decoded.cuts or () if cut.id in names]
    links = audio_links(shown, page)
    yield f"<h2 class=part>The {len(worst)} worst utterances</h2>" if worst else ""
    yield from (article(one, counts[one.cut_id].errors, links.get(one.cut_id), "") for one in worst)


def _group_charts(decoded: DecodedSet, counts: Mapping[str, ErrorCounts]) -> List[str]:
    lengths = {cut.id: cut.duration for cut in decoded.cuts or ()}
    words = {one.cut_id: float(len(one.ref)) for one in decoded.transcripts}
    parts = (
        ("Length", "s of audio", groups_of(lengths, counts, lambda value: f"{value:.1f}")),
        ("Words", "words of the reference", groups_of(words, counts, lambda value: f"{value:.0f}")),
        ("Noise", "dB between speech and pauses", groups_of(decoded.snr_db, counts, lambda value: f"{value:.0f}")),
    )
    return [_figure(f"{heading} and WER", bar_chart(bars, "WER, %", axis)) for heading, axis, bars in parts if bars]


def report_page(exp_dir: Path, sets: Sequence[DecodedSet], page: Path, num_worst: int) -> str:
    """The text of the page; audio of the worst utterances is put into a folder beside `page`.

    Args:
      sets: decoded sets of a recogniser; none for other systems, and before decoding. num_worst: of each set.
    """
    title = html.escape(f"{exp_dir.resolve().name}: a training")
    charts = "".join(_figure(chart.heading, chart.svg) for chart in training_charts(exp_dir))
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>\n{_STYLE}\n</style></head><body>",
        f"<h1>{title}</h1>",
        *_facts(exp_dir),
        f"<h2 class=part>Curves</h2><main>{charts}</main>" if charts else "",
        *(part for decoded in sets for part in _set_part(decoded, page, num_worst)),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)
