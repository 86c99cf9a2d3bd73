"""When the words and pieces of a known text were said, by a trained recogniser."""

import dataclasses
import math
from typing import List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.ctc_alignment import ctc_spans
from icefall_discrete.decoding.transducer_alignment import transducer_way
from icefall_discrete.nn.heads.contract import has_ctc, require_ctc, require_transducer
from icefall_discrete.systems.asr.transcription import word_spans
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import forms_of

HEADS = ("auto", "ctc", "transducer")
# Each frame and label is a step of the search, which is noted: a GiB.
MOST_STEPS = 2**27


class Aligned(NamedTuple):
    """A word or a piece: from when to when (s), and how probable its labels are there (their geometric mean)."""

    text: str
    start_sec: float
    end_sec: float
    probability: float


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The words and the pieces of a text, in order."""

    words: Tuple[Aligned, ...]
    pieces: Tuple[Aligned, ...]


class CannotAlign(ValueError):
    """A text that cannot be aligned with its audio; the message is the reason, a part of a sentence."""


class _Placed(NamedTuple):
    """The frames of a label, first and behind the last, and its mean log-probability there (nats)."""

    begin: int
    end: int
    log_prob: float


def _by_ctc(model: Transducer, encoder_out: Tensor, labels: Sequence[int]) -> List[_Placed]:
    head = require_ctc(model, "alignment by CTC").ctc_output
    log_probs = head(encoder_out.unsqueeze(0))[0].log_softmax(dim=-1)
    spans = ctc_spans(log_probs, labels, model.blank_id)
    if spans is None:
        raise CannotAlign(f"the text has {len(labels)} pieces, more than the {len(encoder_out)} frames can say")
    return [
        _Placed(begin, end, float(log_probs[begin:end, label].mean())) for (begin, end), label in zip(spans, labels)
    ]


def _by_transducer(model: Transducer, encoder_out: Tensor, labels: Sequence[int]) -> List[_Placed]:
    way = transducer_way(require_transducer(model, "alignment by a transducer"), encoder_out, labels)
    if way is None:
        raise CannotAlign("its audio has no frame")
    return [_Placed(frame, frame + 1, log_prob) for frame, log_prob in zip(way.frames, way.log_probs)]


def labels_of(text: str, language: str, text_encoder: TextEncoder) -> List[int]:
    """The labels of a text, in the first of its forms that the pieces can write.

    Raises CannotAlign if it is empty, or has characters without a piece in any form.
    """
    forms = {form: text_encoder.outside(form, language or None) for form in forms_of(text)}
    text = next((form for form, outside in forms.items() if not outside), text)
    labels, outside = text_encoder.labels_of(text, language or None), forms[text]
    if outside:
        raise CannotAlign(
            f"its text has {', '.join(repr(char) for char in sorted(set(outside)))}, which no piece of the model has; "
            "write it as the training texts are written, or give --text-rule words"
        )
    if not labels:
        raise CannotAlign("its text is empty")
    return labels


@torch.no_grad()
def align_text(
    model: Transducer,
    encoder_out: Tensor,
    spans_sec: Sequence[Tuple[float, float]],
    labels: Sequence[int],
    text_encoder: TextEncoder,
    head: str = "auto",
) -> Alignment:
    """When the words and pieces of a text were said.

    Args:
      model: a trained recogniser in evaluation mode. encoder_out: (T', D) of the audio. spans_sec: start and end of
        each frame (s). labels: those of the text. head: one of HEADS; auto: CTC where there is such a head, whose times
        are better, as a transducer may emit a label some frames late.
    Raises:
      CannotAlign: if the audio is too short for the text, or both are too long. ValueError: for a head that is absent.
    """
    if len(encoder_out) * len(labels) > MOST_STEPS:
        raise CannotAlign(
            f"{len(encoder_out)} frames and {len(labels)} pieces are too many at once, expected a product of at most "
            f"{MOST_STEPS}; divide the audio and its text"
        )
    uses_ctc = head == "ctc" or (head == "auto" and has_ctc(model))
    placed = (_by_ctc if uses_ctc else _by_transducer)(model, encoder_out, labels)

    def aligned(text: str, first: int, last: int) -> Aligned:
        mean = sum(one.log_prob for one in placed[first : last + 1]) / (last + 1 - first)
        start, end = spans_sec[placed[first].begin][0], spans_sec[placed[last].end - 1][1]
        return Aligned(text, start, end, math.exp(mean))

    names, silent = text_encoder.pieces(), set(text_encoder.language_tokens.values())
    spoken = [place for place, label in enumerate(labels) if label not in silent]
    return Alignment(
        tuple(aligned(*word) for word in word_spans(labels, text_encoder)),
        tuple(aligned(names[labels[place]], place, place) for place in spoken),
    )
