"""The errs-*.txt and wer-summary-*.txt files, in icefall's format, so that scripts which read those read ours."""

from collections import Counter, defaultdict
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from icefall_discrete.metrics.wer import Pair, Transcript, align, total_errors, utterance_errors, words_themselves

_NOTHING = "*"


def shown_rate(rate: Optional[float]) -> str:
    """An error rate with two digits; - where no reference has a word."""
    return "-" if rate is None else f"{rate:.2f}"


def marked_errors(pairs: Sequence[Pair]) -> str:
    """One utterance as text: correct words plain, each run of errors as `(ref->hyp)`, with * for nothing."""
    shown: List[str] = []
    run: List[Pair] = []
    for ref, hyp in [*pairs, ("", "")]:
        if ref is None or ref != hyp:
            run.append((ref, hyp))
            continue
        if run:
            left = " ".join(r for r, _ in run if r is not None) or _NOTHING
            right = " ".join(h for _, h in run if h is not None) or _NOTHING
            shown.append(f"({left}->{right})")
            run = []
        shown.append(ref)
    return " ".join(shown[:-1])


def error_report(transcripts: Sequence[Transcript]) -> str:
    """The text of errs-<set>-<suffix>.txt: the error rate, each utterance marked, and counts of each error and word."""
    alignments = {t.cut_id: align(t.ref, t.hyp) for t in transcripts}
    total = total_errors(utterance_errors(transcripts, words_themselves).values())
    lines = [
        f"%WER = {shown_rate(total.known_rate)}",
        f"Errors: {total.insertions} insertions, {total.deletions} deletions, {total.substitutions} substitutions, "
        f"over {total.num_ref} reference words ({total.correct} correct)",
        "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, DELETIONS:, INSERTIONS:, "
        "PER-WORD STATS:",
        "",
        "PER-UTT DETAILS: corr or (ref->hyp)  ",
        *(f"{cut_id}:\t{marked_errors(pairs)}" for cut_id, pairs in alignments.items()),
        *_error_sections([pair for pairs in alignments.values() for pair in pairs]),
    ]
    return "\n".join(lines) + "\n"


def _error_sections(pairs: Sequence[Pair]) -> List[str]:
    substitutions = Counter(f"{r} -> {h}" for r, h in pairs if r is not None and h is not None and r != h)
    deletions = Counter(r for r, h in pairs if r is not None and h is None)
    insertions = Counter(h for r, h in pairs if r is None and h is not None)
    lines = []
    for title, counts in (
        ("SUBSTITUTIONS: count ref -> hyp", substitutions),
        ("DELETIONS: count ref", deletions),
        ("INSERTIONS: count hyp", insertions),
    ):
        lines += ["", title, *(f"{count}   {what}" for what, count in _most_first(counts))]
    return [*lines, "", "PER-WORD STATS: word  corr tot_errs count_in_ref count_in_hyp", *_word_lines(pairs)]


def _most_first(counts: Dict[str, int]) -> List[Tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _word_lines(pairs: Sequence[Pair]) -> List[str]:
    correct: Dict[str, int] = defaultdict(int)
    in_ref: Dict[str, int] = defaultdict(int)
    in_hyp: Dict[str, int] = defaultdict(int)
    for ref, hyp in pairs:
        if ref is not None:
            in_ref[ref] += 1
        if hyp is not None:
            in_hyp[hyp] += 1
        if ref is not None and ref == hyp:
            correct[ref] += 1
    errors = {word: in_ref[word] + in_hyp[word] - 2 * correct[word] for word in {*in_ref, *in_hyp}}
    return [f"{word}   {correct[word]} {count} {in_ref[word]} {in_hyp[word]}" for word, count in _most_first(errors)]


def wer_summary(rates: Mapping[str, Optional[float]]) -> str:
    """The text of wer-summary-<set>-<suffix>.txt: `settings<tab>WER`, then a line a setting, the best first."""
    ordered = sorted(rates.items(), key=lambda item: (item[1] is None, item[1] or 0.0))
    return "settings\tWER\n" + "".join(f"{setting}\t{shown_rate(rate)}\n" for setting, rate in ordered)
