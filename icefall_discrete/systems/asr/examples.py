"""Reference and hypothesis lines for a person to read: a typical utterance of each language, and the worst ones."""

from typing import Dict, List, Sequence

from icefall_discrete.metrics.wer import Transcript, align, characters_of, count_errors
from icefall_discrete.systems.asr.error_report import marked_errors

_MIN_WORDS, _NUM_WORST = 3, 5


def _character_rate(transcript: Transcript) -> float:
    counts = count_errors(characters_of(transcript.ref), characters_of(transcript.hyp))
    return counts.errors / max(counts.num_ref, 1)


def typical_examples(transcripts: Sequence[Transcript], language_of: Dict[str, str]) -> List[str]:
    """For each language, the utterance of at least three words whose character error rate is the median one.

    Returns lines of text: the language and cut id, what was said, what was recognised.
    """
    lines: List[str] = []
    for language in sorted({language_of[t.cut_id] for t in transcripts}):
        mine = [t for t in transcripts if language_of[t.cut_id] == language]
        long_enough = [t for t in mine if len(t.ref) >= _MIN_WORDS] or mine
        ranked = sorted(long_enough, key=lambda t: (_character_rate(t), t.cut_id))
        middle = ranked[len(ranked) // 2]
        lines += [middle.cut_id, f"  ref  {' '.join(middle.ref)}", f"  hyp  {' '.join(middle.hyp) or '(nothing)'}"]
    return lines


def worst_utterances(transcripts: Sequence[Transcript]) -> List[str]:
    """The five utterances with most word errors, worst first, their errors marked as `(ref->hyp)`."""
    counts = {t.cut_id: count_errors(t.ref, t.hyp) for t in transcripts}
    ranked = sorted(transcripts, key=lambda t: (-counts[t.cut_id].errors, t.cut_id))[:_NUM_WORST]
    return [
        f"{counts[t.cut_id].errors:4d} errors of {counts[t.cut_id].num_ref:3d} words  {t.cut_id}: "
        f"{marked_errors(align(t.ref, t.hyp))}"
        for t in ranked
        if counts[t.cut_id].errors
    ]
