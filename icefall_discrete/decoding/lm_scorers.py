"""Language models as scorers of a beam search."""

import math
from typing import Dict, List, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.automaton import Arc, AutomatonScorer, Backoff, BackoffAutomaton
from icefall_discrete.decoding.scorer import State
from icefall_discrete.lm.arpa import END, START, UNKNOWN, NgramModel
from icefall_discrete.lm.neural import NeuralLm
from icefall_discrete.text.pieces import SOS_EOS_ID

_Context = Tuple[int, ...]
# Given to a piece that a model without <unk> does not know; finite, so that it may be taken off again (LODR).
_UNKNOWN_LOG_PROB = math.log(1e-7)


def ngram_scorer(
    model: NgramModel, pieces: Sequence[str], where: str, device: torch.device, scores_end: bool = False
) -> AutomatonScorer:
    """A scorer that gives each next piece its n-gram log-probability.

    Args:
      model: over pieces. pieces: those of the recogniser, in the order of their ids. where: the model's file.
      device: of the search. scores_end: whether the end of a sentence is given its log-probability too, or nothing.

    Raises:
      ValueError: if the model has a token that is no piece: it was trained with other pieces, or on words.
    """
    ids: Dict[str, int] = {piece: label for label, piece in enumerate(pieces)}
    ids[END] = SOS_EOS_ID
    strangers = [token for (token,) in model.grams[0] if token not in ids and token not in (START, UNKNOWN)]
    if strangers:
        raise ValueError(
            f"{where} has the token '{strangers[0]}' (and {len(strangers) - 1} others) which the experiment's pieces "
            "have not; train the language model with the experiment's bpe.model."
        )
    ids[START] = len(pieces)  # only ever in a context
    ids.setdefault(UNKNOWN, len(pieces) + 1)
    automaton, start = _automaton(model, ids, len(pieces))
    end_unit = SOS_EOS_ID if scores_end else None
    return AutomatonScorer(automaton.to(device), torch.tensor([start], device=device), end_unit=end_unit)


def _automaton(model: NgramModel, ids: Dict[str, int], vocab_size: int) -> Tuple[BackoffAutomaton, int]:
    """The model as an automaton over V labels, and the state in which a sentence begins."""
    grams = [{tuple(ids[token] for token in ngram): gram for ngram, gram in table.items()} for table in model.grams]
    # A context counts if something follows it or if it has a weight of its own.
    followed = {ngram[:-1] for table in grams[1:] for ngram in table}
    weighted = {ngram for table in grams[:-1] for ngram, gram in table.items() if gram.backoff != 0.0}
    contexts = sorted(followed | weighted)
    states = {context: state for state, context in enumerate([(), *contexts])}

    def longest_suffix(context: _Context) -> int:
        while context not in states:
            context = context[1:]
        return states[context]

    unknown = grams[0].get((ids[UNKNOWN],))
    floor = _UNKNOWN_LOG_PROB if unknown is None else unknown.log_prob
    root = [
        Arc(0, unit, longest_suffix((unit,)), grams[0][unit,].log_prob if (unit,) in grams[0] else floor)
        for unit in range(vocab_size)
    ]
    arcs = [
        Arc(states[ngram[:-1]], ngram[-1], longest_suffix(ngram), gram.log_prob)
        for table in grams[1:]
        for ngram, gram in table.items()
        if ngram[-1] < vocab_size
    ]
    backoffs = [Backoff(0, 0.0)]
    for context in contexts:
        own = grams[len(context) - 1].get(context)
        backoffs.append(Backoff(longest_suffix(context[1:]), 0.0 if own is None else own.backoff))
    return BackoffAutomaton(root, arcs, backoffs), longest_suffix((ids[START],))


class NeuralScorer:
    """Gives each next piece its log-probability by a neural language model (`icefall_discrete.lm.neural`).

    It serves one search at a time: a transformer's keys and values are kept from `start` to the next `start`. With
    `scores_end` the end of a sentence is given its log-probability too, which is then the last tensor of a state.
    """

    def __init__(self, model: NeuralLm, scores_end: bool = False) -> None:
        self._model, self._scores_end = model.eval(), scores_end
        self._steps = self._model.steps()

    def start(self, utterances: Tensor) -> Tuple[State, Tensor]:
        """All begin alike: after the start of a sentence."""
        self._steps = self._model.steps()
        state, log_probs = self._steps.advance(
            self._steps.start(1), torch.tensor([SOS_EOS_ID], device=utterances.device)
        )
        rows: List[Tensor] = [tensor.expand(len(utterances), *tensor.shape[1:]) for tensor in (*state, log_probs)]
        return self._with_end(tuple(rows[:-1]), rows[-1])

    def advance(self, state: State, units: Tensor) -> Tuple[State, Tensor]:
        """Append labels."""
        return self._with_end(*self._steps.advance(state[:-1] if self._scores_end else state, units))

    def final(self, state: State) -> Tensor:
        """Nothing where the transcript ends because the audio does; else the end of a sentence."""
        return state[-1] if self._scores_end else torch.zeros(len(state[0]), device=state[0].device)

    def _with_end(self, state: State, log_probs: Tensor) -> Tuple[State, Tensor]:
        return ((*state, log_probs[:, SOS_EOS_ID]) if self._scores_end else state), log_probs
