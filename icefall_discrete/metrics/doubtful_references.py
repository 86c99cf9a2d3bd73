"""References that two recognisers contradict in the same way: transcripts that may not be what was said.

A recogniser that errs is far from the reference and from every other recogniser. Where two of them are near each other
and both far from the reference, it is more likely the transcript that errs: another text was read, the next line of a
list ran into this one, or there is no speech. The better the recognisers and the less they share (training data before
all), the more a doubt says; none of it is a proof, so the cuts are for somebody to listen to.
"""

from typing import Dict, Iterable, List, NamedTuple, Sequence

from icefall_discrete.metrics.wer import Transcript, characters_of, count_errors
from icefall_discrete.text.words import text_of_words

# Fewer characters than this are within what two recognisers that heard the same get wrong together.
LEAST_EXCESS = 5


class Doubt(NamedTuple):
    """A cut whose reference is doubted: the three texts, and by how many characters it lies off (`excess`)."""

    cut_id: str
    excess: int
    ref: str
    first: str
    second: str


def doubtful_references(
    first: Iterable[Transcript], second: Iterable[Transcript], least: int = LEAST_EXCESS
) -> List[Doubt]:
    """Cuts whose reference lies at least `least` characters farther from both hypotheses than these from each other.

    Args:
      first, second: what two recognisers understood of the same cuts, with the same references.
      least: characters, at least 1; `excess` is the lesser of the distances to the reference, less that between
        the hypotheses; all are edit distances without spaces, as those of a character error rate.
    Returns:
      The doubts, the largest excess first, then by cut id.
    Raises:
      ValueError: if a cut is in one of them alone, or its references differ, naming it.
    """
    others = {transcript.cut_id: transcript for transcript in second}
    doubts = []
    for one in first:
        other = _partner(one, others)
        excess = min(_distance(one.ref, one.hyp), _distance(one.ref, other.hyp)) - _distance(one.hyp, other.hyp)
        if excess >= least:
            doubts.append(Doubt(one.cut_id, excess, *map(text_of_words, (one.ref, one.hyp, other.hyp))))
    if others:
        raise ValueError(
            f"cut {next(iter(others))} was understood by the second recogniser alone; decode the same set."
        )
    return sorted(doubts, key=lambda doubt: (-doubt.excess, doubt.cut_id))


def _partner(one: Transcript, others: Dict[str, Transcript]) -> Transcript:
    other = others.pop(one.cut_id, None)
    if other is None:
        raise ValueError(f"cut {one.cut_id} was understood by the first recogniser alone; decode the same set.")
    if other.ref != one.ref:
        said = " and ".join(repr(text_of_words(ref)) for ref in (one.ref, other.ref))
        raise ValueError(f"cut {one.cut_id} has the references {said}; decode both on the same transcripts.")
    return other


def _distance(ref: Sequence[str], hyp: Sequence[str]) -> int:
    return count_errors(characters_of(ref), characters_of(hyp)).errors
