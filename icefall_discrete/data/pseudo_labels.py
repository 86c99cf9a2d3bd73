"""Text that a model said of an utterance, in the place of a transcript: where it comes from, and what it may not be.

A pseudo-label is the text of a supervision whose `custom` has `pseudo_label`, an object that says which model said it,
by which search, and how sure it was. It is trained on, and never scored against.
"""

import logging
from typing import Any, Dict, Iterable, List, Mapping

from lhotse import CutSet, SupervisionSegment
from lhotse.cut import Cut, MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.data.cuts import is_speed_perturbed, original_id
from icefall_discrete.data.label_share import PSEUDO_LABEL, is_pseudo_labelled, labelled_ids

LOG = logging.getLogger(__name__)
# Custom fields of supervisions in which corpora keep the transcript as it was written, before the rules of their texts.
_TRANSCRIPTS = ("written",)


def _facts_but_text(said: SupervisionSegment) -> Dict[str, Any]:
    """Further facts on an utterance, without what tells its transcript."""
    return {name: value for name, value in (said.custom or {}).items() if name not in _TRANSCRIPTS}


def pseudo_labelled(cut: MonoCut, text: str, said_by: Mapping[str, Any]) -> MonoCut:
    """The cut with `text` as what is said in it, and `said_by` as where that comes from; its own text is gone.

    Language, speaker and other facts stay those of its first supervision, if it has one.
    """
    first = min(cut.supervisions, key=lambda one: one.start) if cut.supervisions else None
    if first is None:
        first = SupervisionSegment(cut.id, cut.recording_id, 0.0, cut.duration)
    custom = {**_facts_but_text(first), PSEUDO_LABEL: dict(said_by)}
    said = fastcopy(first, start=0.0, duration=cut.duration, text=text, custom=custom, alignment=None)
    return fastcopy(cut, supervisions=[said])


def transcribed(cuts: Iterable[Cut]) -> List[Cut]:
    """The cuts that have a text."""
    return [cut for cut in cuts if any((said.text or "").strip() for said in cut.supervisions)]


def without_text(cut: Cut) -> Cut:
    """The cut as if nobody had written down what is said in it."""
    silent = [fastcopy(one, text=None, custom=_facts_but_text(one) or None, alignment=None) for one in cut.supervisions]
    return fastcopy(cut, supervisions=silent)


def require_truth(cuts: Iterable[Cut], what: str) -> None:
    """Raise ValueError if the text of a cut is a pseudo-label; `what` the cuts are for is in the sentence."""
    for cut in cuts:
        for said in cut.supervisions:
            if is_pseudo_labelled(cut):
                model = (said.custom or {}).get(PSEUDO_LABEL, {}).get("model", "a model")
                raise ValueError(
                    f"cut {cut.id}: its text is a pseudo-label, said by {model}, and {what} needs what was really "
                    "said; give a manifest with transcripts."
                )


def with_pseudo_labels(cuts: CutSet, pseudo: CutSet, label_fraction: float = 1.0) -> CutSet:
    """The training cuts that have a label: a transcript that is used, or else a pseudo-label.

    Args:
      cuts: with frames; some may have no text. pseudo: cuts with pseudo-labels; those of the same ids lend theirs,
        to copies at other speeds too. label_fraction: share of the transcripts that is used (label_share.py); the
        text of the others is as if it were not there.
    Raises:
      ValueError: if `pseudo` holds transcripts, or no pseudo-label is of a cut that has no transcript.
    """
    said = {cut.id: cut.supervisions[0] for cut in pseudo if is_pseudo_labelled(cut)}
    if len(said) < len(pseudo):
        stranger = next(cut.id for cut in pseudo if cut.id not in said)
        raise ValueError(
            f"cut {stranger} of --pseudo-labels has no pseudo-label; give a file that local/pseudo_label.py wrote."
        )
    true_ids = labelled_ids(transcribed(cuts), label_fraction)
    kept: List[Cut] = []
    taken, unlabelled = set(), set()
    for cut in cuts:
        name = original_id(cut, cut.id)
        if name in true_ids:
            kept.append(cut)
        elif name in said:
            taken.add(name)
            kept.append(pseudo_labelled(cut, said[name].text, (said[name].custom or {})[PSEUDO_LABEL]))
        else:
            unlabelled.add(name)
    if not taken:
        raise ValueError(
            f"none of the {len(said)} pseudo-labels is of a training cut without transcript; give those of the cuts "
            "that are trained on, and the --label-fraction that they were made for."
        )
    LOG.info(
        "%d training utterances have transcripts, %d of %d pseudo-labels are used, %d utterances have no label",
        *(len(true_ids), len(taken), len(said), len(unlabelled)),
    )
    return CutSet.from_cuts(kept)


def pseudo_label_hours(cuts: Iterable[Cut]) -> float:
    """Hours of pseudo-labelled speech that are no copies at another speed."""
    return sum(cut.duration for cut in cuts if is_pseudo_labelled(cut) and not is_speed_perturbed(cut)) / 3600
