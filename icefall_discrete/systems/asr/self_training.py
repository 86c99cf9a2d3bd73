"""What a trained recogniser says of utterances without transcripts, and which of it another one may learn from.

Filters of Kahn et al. 2020 (https://arxiv.org/abs/1909.09116): hypotheses that repeat themselves, that did not come to
their end, and those of the lowest score per label; besides these, confidence, and how fast somebody would have spoken.
"""

import dataclasses
import logging
import math
import statistics
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import language_of
from icefall_discrete.data.dataset import Batch, batch_key
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.scorer import Scorer
from icefall_discrete.decoding.search import search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.nn.heads.contract import has_ctc
from icefall_discrete.systems.asr.alignment import CannotAlign, align_text
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig, predict_batches
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import plain_spaces, words_in

LOG = logging.getLogger(__name__)
UNKNOWN_LANGUAGE = "unknown"


@dataclasses.dataclass(frozen=True)
class PseudoFilterConfig:
    """Which pseudo-labels are kept; by default those that are empty or repeat themselves are dropped."""

    keep_share: float = setting(
        1.0, "of what the other filters leave, the share with the best score per label", above=0, maximum=1
    )
    min_confidence: float = setting(
        0.0, "least probability of its labels where they are said, their geometric mean", minimum=0, maximum=1
    )
    min_word_confidence: float = setting(0.0, "the same of its least probable word", minimum=0, maximum=1)
    repeat_ngram: int = setting(4, "words of a row that counts as repeated", minimum=1)
    max_repeats: int = setting(2, "most times that such a row of words may occur; 0: any number", minimum=0)
    max_length_ratio: float = setting(
        0.0, "most times more or fewer letters a second than the median of its language; 0: any number", minimum=0
    )
    require_end: bool = setting(
        True, "drop what a search from label to label broke off at its limit of length (maxlenratio)"
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if 0 < self.max_length_ratio < 1:
            raise ValueError(f"max_length_ratio is {self.max_length_ratio:g}, expected 1 or more, or 0 for any number.")


class Guess(NamedTuple):
    """What is said of a cut.

    score: of the search, in nats. num_labels: of its labels. confidence, word_confidence: geometric mean of the
    probabilities of its labels where they are said, and that of its least probable word; 0 where it cannot be aligned.
    at_limit: whether it has as many labels as the search allows.
    """

    text: str
    score: float
    num_labels: int
    confidence: float
    word_confidence: float
    at_limit: bool

    @property
    def score_per_label(self) -> float:
        """Nats a label, the end counted as one."""
        return self.score / (self.num_labels + 1)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A recogniser in evaluation mode, and how it searches."""

    network: Transducer
    spec: FeatureSpec
    text_encoder: TextEncoder
    decode: DecodeConfig
    from_label_to_label: bool
    scorer_of: Optional[Callable[[Batch], Optional[Scorer]]] = None

    def guesses(self, cuts: CutSet, run: RunConfig, title: Optional[str] = None) -> Tuple[Dict[str, Guess], Dict]:
        """What is said of each cut, and the facts of `predict_cuts`; nothing of one that is too short."""
        device = run.torch_device()

        @torch.no_grad()
        def say(batch: Batch) -> List[Optional[Guess]]:
            scorer = self.scorer_of(batch) if self.scorer_of is not None else None
            encoded = self.network.encode(batch[batch_key(self.spec)].to(device), batch["frame_lens"].to(device))
            frames, lens = encoded.encoder_out, encoded.lens
            found = search_nbest(self.decode.decoding_method, self.network, frames, lens, self.decode, scorer)
            return [
                self._guess(best[0], frames[row, : int(lens[row])]) if best else None for row, best in enumerate(found)
            ]

        found, facts = predict_batches(say, self.network.config, cuts, self.spec, run, title)
        return {cut_id: guess for cut_id, guess in found.items() if guess is not None}, facts

    def _guess(self, found: Hypothesis, frames: torch.Tensor) -> Guess:
        """With the confidences of the CTC head, or where there is none of the transducer."""
        text = plain_spaces(self.text_encoder.decode(found.labels))
        words: List[float] = []
        pieces: List[float] = []
        if text and (has_ctc(self.network) or not self.from_label_to_label):
            places = [(float(frame), float(frame + 1)) for frame in range(len(frames))]
            try:
                aligned = align_text(self.network, frames, places, found.labels, self.text_encoder)
            except CannotAlign as error:
                LOG.debug("no confidence: %s", error)
            else:
                words, pieces = ([one.probability for one in kind] for kind in (aligned.words, aligned.pieces))
        mean = math.exp(statistics.fmean(math.log(max(one, 1e-30)) for one in pieces)) if pieces else 0.0
        limit = max(1, int((self.decode.maxlenratio or 1.0) * len(frames)))
        at_limit = self.from_label_to_label and len(found.labels) >= limit
        return Guess(text, found.score, len(found.labels), mean, min(words, default=0.0), at_limit)


class Chosen(NamedTuple):
    """Guesses by cut id that are kept, and for each reason the ids of the cuts whose are not."""

    kept: Dict[str, Guess]
    dropped: Dict[str, List[str]]


def choose_guesses(cuts: Sequence[Cut], guesses: Dict[str, Guess], config: PseudoFilterConfig) -> Chosen:
    """Which guesses about `cuts` pass the filters."""
    usual = _letters_a_second(cuts, guesses)
    kept: Dict[str, Guess] = {}
    dropped: Dict[str, List[str]] = {}
    for cut in cuts:
        guess = guesses.get(cut.id)
        reason = "too short for the model" if guess is None else _drop_reason(cut, guess, config, usual)
        if guess is None or reason:
            dropped.setdefault(reason, []).append(cut.id)
        else:
            kept[cut.id] = guess
    best_first = sorted(kept, key=lambda cut_id: (-kept[cut_id].score_per_label, cut_id))
    worst = best_first[math.ceil(config.keep_share * len(best_first) - 1e-9) :]
    if worst:
        dropped[f"not among the {config.keep_share:.0%} of the best score per label"] = sorted(worst)
    return Chosen({cut_id: guess for cut_id, guess in kept.items() if cut_id not in set(worst)}, dropped)


def _letters(text: str) -> int:
    return len("".join(text.split()))


def _letters_a_second(cuts: Sequence[Cut], guesses: Dict[str, Guess]) -> Dict[str, float]:
    """The median of each language."""
    rates: Dict[str, List[float]] = {}
    for cut in cuts:
        if cut.id in guesses and guesses[cut.id].text:
            language = language_of(cut) or UNKNOWN_LANGUAGE
            rates.setdefault(language, []).append(_letters(guesses[cut.id].text) / cut.duration)
    return {language: statistics.median(values) for language, values in rates.items()}


def _drop_reason(cut: Cut, guess: Guess, config: PseudoFilterConfig, usual: Dict[str, float]) -> str:
    """Why a guess is not kept; empty: it is."""
    if not guess.text:
        return "nothing was recognised"
    if config.require_end and guess.at_limit:
        return "the search broke off at its limit of length"
    if config.max_repeats and most_repeats(words_in(guess.text), config.repeat_ngram) > config.max_repeats:
        return f"{config.repeat_ngram} words in a row occur more than {config.max_repeats} times"
    if config.max_length_ratio:
        rate = _letters(guess.text) / cut.duration / usual[language_of(cut) or UNKNOWN_LANGUAGE]
        if max(rate, 1 / rate) > config.max_length_ratio:
            return f"more than {config.max_length_ratio:g} times as many or few letters a second as usual"
    if guess.confidence < config.min_confidence:
        return f"confidence below {config.min_confidence:g}"
    if guess.word_confidence < config.min_word_confidence:
        return f"a word's confidence below {config.min_word_confidence:g}"
    return ""


def most_repeats(words: Sequence[str], length: int) -> int:
    """How often the commonest row of `length` words occurs."""
    rows = list(zip(*(words[start:] for start in range(length))))
    return max((rows.count(row) for row in set(rows)), default=0)
