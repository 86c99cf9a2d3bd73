"""How much units tell of the text: SLMTokBench's estimate of their mutual information.

Zhang et al. 2023 (SpeechTokenizer), https://arxiv.org/abs/2308.16692, section 3.2, after Cheng et al. 2020 (CLUB): with
q(y|x) a recogniser's probability of text y given units x, the mean over all pairs of log q(y_i|x_i) - log q(y_j|x_i). A
better recogniser finds more of it, so that it compares feature types only with recognisers that were trained alike.
"""

from typing import NamedTuple

import numpy as np

from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "Text information is that of units and text, in bits an utterance, by the CTC head of a recogniser of these units."
)
METRICS = (Metric("text_information", "text information", "information", _LEGEND, "bits", True, 1, is_aside=True),)


class TextInformation(NamedTuple):
    """bits: of an utterance. num_impossible: pairs that were left out, since the text is too long for the units."""

    bits: float
    num_utterances: int
    num_impossible: int


def text_information(log_probs: np.ndarray) -> TextInformation:
    """The estimate from log q(y_j|x_i) in nats (N, N), rows units, columns texts; -inf where a text is too long.

    Raises:
      ValueError: for another shape, less than two utterances, or a text that its own units cannot say.
    """
    if log_probs.ndim != 2 or log_probs.shape[0] != log_probs.shape[1] or len(log_probs) < 2:
        raise ValueError(f"scores of units and texts are {log_probs.shape}, expected (N, N), N 2 at least.")
    own = np.diagonal(log_probs)
    if not np.isfinite(own).all():
        first = int(np.flatnonzero(~np.isfinite(own))[0])
        raise ValueError(f"utterance {first} (from 0): its text has no alignment with its units; leave it out.")
    possible = np.isfinite(log_probs)
    gained = np.where(possible, own[:, None] - np.where(possible, log_probs, 0.0), 0.0)
    return TextInformation(float(gained.sum() / possible.sum() / np.log(2.0)), len(log_probs), int((~possible).sum()))
