"""What is in a corpus, before anything is trained: a page in Markdown, and a table of suspicious utterances."""

import collections
from pathlib import Path
from typing import Counter, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence

from lhotse import MonoCut

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.data.manifests import listed
from icefall_discrete.data.own_corpora.suspicions import Heard, Suspicion, median_rate
from icefall_discrete.data.small_corpora import SPLITS
from icefall_discrete.text.words import words_in

RARE = 5  # a character in fewer utterances is hardly learnt
_SHOWN, _TEXT = 10, 80
REPORT, SUSPICIOUS = "report.md", "suspicious.tsv"


class Contents(NamedTuple):
    """What a corpus was found to hold.

    cuts: what is kept, with the texts that are learnt, audio at its own rate. splits: by id; told: how they were made.
    keys: normalised text by id. dropped: how many utterances were left out, by reason; unusable: why audio was, by
    name. suspicions: in the order in which they were found. heard: what was decoded.
    """

    title: str
    cuts: Sequence[MonoCut]
    splits: Mapping[str, str]
    told: str
    keys: Mapping[str, str]
    dropped: Mapping[str, int]
    unusable: Mapping[str, str]
    suspicions: Sequence[Suspicion]
    heard: Sequence[Heard]


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield "| " + " | ".join(str(one).replace("|", "\\|").replace("\n", " ") for one in row) + " |"


def _text(cut: MonoCut) -> str:
    return cut.supervisions[0].text or ""


def hours_of(cuts: Iterable[MonoCut]) -> float:
    """Hours of audio."""
    return sum(cut.duration for cut in cuts) / 3600


def characters_of(cuts: Iterable[MonoCut]) -> Counter[str]:
    """In how many utterances each character occurs, spaces left out."""
    return collections.Counter(char for cut in cuts for char in {*"".join(_text(cut).split())})


def _sizes(contents: Contents) -> Iterator[str]:
    rows: List[Sequence[object]] = []
    for split in (*SPLITS, "all"):
        cuts = [cut for cut in contents.cuts if split in ("all", contents.splits[cut.id])]
        speakers = {cut.supervisions[0].speaker for cut in cuts} - {None}
        words = [word for cut in cuts for word in words_in(_text(cut))]
        durations = sorted(cut.duration for cut in cuts)
        middle = f"{durations[len(durations) // 2]:.1f} ({durations[0]:.1f} to {durations[-1]:.1f})" if cuts else ""
        hours, known = hours_text(hours_of(cuts)), len(speakers) or "unknown"
        rows.append((split, hours, len(cuts), known, len(words), len(set(words)), middle))
    yield from _table(("split", "hours", "utterances", "speakers", "words", "different", "median length (s)"), rows)
    yield f"\nSplits: {contents.told}."
    train = {contents.keys[cut.id] for cut in contents.cuts if contents.splits[cut.id] == "train"}
    test = [contents.keys[cut.id] for cut in contents.cuts if contents.splits[cut.id] == "test"]
    both = sum(key in train for key in test)
    yield f"{both} of {len(test)} test utterances have a text that is trained on too."


def _left_out(contents: Contents) -> Iterator[str]:
    reasons: Counter[str] = collections.Counter(contents.dropped)
    if contents.unusable:
        why = collections.Counter(contents.unusable.values()).most_common(_SHOWN)
        reasons.update({f"{reason} (such as {_first(contents.unusable, reason)})": count for reason, count in why})
    if not reasons:
        yield "Nothing was left out."
        return
    yield from _table(("left out", "utterances"), reasons.most_common())


def _first(unusable: Mapping[str, str], reason: str) -> str:
    return next(name for name, one in unusable.items() if one == reason)


def _characters(contents: Contents) -> Iterator[str]:
    counts = characters_of(contents.cuts)
    trained = characters_of(cut for cut in contents.cuts if contents.splits[cut.id] == "train")
    rare = {char: count for char, count in sorted(counts.items()) if count < RARE}
    yield f"{len(counts)} different ones: `{''.join(sorted(counts))[:400]}`"
    if rare:
        shown = ", ".join(f"`{char}` ({count})" for char, count in list(rare.items())[:40])
        more = " ..." if len(rare) > 40 else ""
        yield f"\nRare, in fewer than {RARE} utterances: {shown}{more}. Foreign letters, or slips?"
    unseen = sorted(counts.keys() - trained.keys())
    if unseen:
        yield f"\nNever in training: {' '.join(f'`{char}`' for char in unseen[:40])}"


def _duplicates(contents: Contents) -> Iterator[str]:
    by_key: Dict[str, List[str]] = collections.defaultdict(list)
    for cut in contents.cuts:
        by_key[contents.keys[cut.id]].append(cut.id)
    several = sorted((ids for ids in by_key.values() if len(ids) > 1), key=len, reverse=True)
    extra = sum(len(ids) - 1 for ids in several)
    yield f"{len(several)} texts occur more than once ({extra} utterances more than texts)."
    texts = {cut.id: _text(cut) for cut in contents.cuts}
    rows = [(len(ids), texts[ids[0]][:_TEXT], listed(ids)) for ids in several[:_SHOWN]]
    yield from _table(("times", "text", "utterances"), rows) if rows else ()


def _audio(contents: Contents) -> Iterator[str]:
    kinds = collections.Counter((cut.recording.sampling_rate, len(cut.recording.channel_ids)) for cut in contents.cuts)
    rows = [(rate, channels, count) for (rate, channels), count in sorted(kinds.items())]
    yield from _table(("rate (Hz)", "channels", "utterances"), rows)
    if any(channels > 1 for _, channels, _ in rows):
        yield "\nOf several channels the first one is used, unless the source says which."
    loud = sorted(one.loudness.level_db for one in contents.heard if one.loudness is not None)
    snr = sorted(one.loudness.snr_db for one in contents.heard if one.loudness is not None)
    if loud:
        yield (
            f"\n{len(contents.heard)} utterances were decoded: median level {loud[len(loud) // 2]:.0f} dB of full "
            f"scale, median distance of speech to what is between it {snr[len(snr) // 2]:.0f} dB (a tenth has under "
            f"{snr[len(snr) // 10]:.0f})."
        )


def _suspicious(contents: Contents) -> Iterator[str]:
    if not contents.suspicions:
        yield "Nothing."
        return
    kinds = collections.Counter(one.what.partition(":")[0].partition(" as ")[0] for one in contents.suspicions)
    yield ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
    yield f"\nAll stand in {SUSPICIOUS}; `--exclude FILE` leaves out the utterances whose ids begin the file's lines.\n"
    rows = [(one.id, one.what, one.text[:_TEXT]) for one in contents.suspicions[:_SHOWN]]
    yield from _table(("utterance", "what", "text"), rows)


def report(contents: Contents) -> str:
    """The page."""
    parts = (
        ("Size", _sizes(contents)),
        ("Left out", _left_out(contents)),
        ("Characters", _characters(contents)),
        ("Suspicious", _suspicious(contents)),
        ("Texts that repeat", _duplicates(contents)),
        ("Audio", _audio(contents)),
    )
    lines = [f"# {contents.title}: what is in it", ""]
    lines.append(f"Characters a second: median {median_rate(contents.cuts):.1f}.")
    for heading, part in parts:
        lines += ["", f"## {heading}", "", *part]
    return "\n".join(lines) + "\n"


def write_report(contents: Contents, folder: Path) -> Path:
    """Write the page and the table of suspicious utterances into a folder; return the page's path."""
    rows = ("\t".join((one.id, one.what, one.text.replace("\t", " "))) for one in contents.suspicions)
    write_text(folder / SUSPICIOUS, "".join(f"{row}\n" for row in rows))
    write_text(folder / REPORT, report(contents))
    return folder / REPORT
