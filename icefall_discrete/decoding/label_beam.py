"""The search that goes from label to label: at each step every prefix that is followed has the same number of labels.

Watanabe et al. 2017 (https://doi.org/10.1109/JSTSP.2017.2763455) describe it for one utterance, with an attention
decoder and a CTC head; here a whole batch is searched at once.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.decoding.ctc_prefix_scores import CtcPrefixes, CtcPrefixScores
from icefall_discrete.decoding.joint_settings import HOPELESS, LAST_LENGTHS, PRE_BEAM, LabelSearchConfig
from icefall_discrete.decoding.scorer import Scorer, State

_NEVER = float("-inf")


@dataclass(frozen=True)
class LabelScores:
    """What is summed for a hypothesis.

    full: scores every label, and the end (`final`). ctc: None without a CTC head. ctc_weight: of its scores.
    chooses: whether `full` knows the audio, so that only the labels that it likes best are given CTC scores.
    only_falls: whether no label ever adds to a score. never: labels that may not be found.
    """

    full: Scorer
    ctc: Optional[CtcPrefixScores]
    ctc_weight: float
    chooses: bool
    only_falls: bool
    never: Sequence[int]


class Ended(NamedTuple):
    """What was said from beginning to end, and its score in nats."""

    labels: List[int]
    score: float


class _Prefixes(NamedTuple):
    """The E prefixes that are followed, of all utterances."""

    slots: Tensor  # (E,) utterance x K + place in its beam
    labels: Tensor  # (E, U)
    score: Tensor  # (E,) nats, without the CTC head's
    state: State
    ahead: Tensor  # (E, V) nats of each next label, without the CTC head's
    ctc: Optional[CtcPrefixes]


class _Candidates(NamedTuple):
    """What may follow each prefix."""

    labels: Tensor  # (E, L)
    scores: Tensor  # (E, L) nats, without the CTC head's
    totals: Tensor  # (E, L + 1) nats, with them; the last is that of the end


class LabelBeam:
    """Searches a batch.

    Args:
      scores: what is summed. lens: encoder frames of each utterance, which bound its labels; those without frames have
        no hypothesis. beam_size: K, prefixes that are followed. nbest: hypotheses for each utterance.
      config: limits of length and the bonus. device: of the scores.
    """

    def __init__(
        self,
        scores: LabelScores,
        lens: Sequence[int],
        beam_size: int,
        nbest: int,
        config: LabelSearchConfig,
        device: torch.device,
    ) -> None:
        self._scores, self._lens, self._beam_size, self._nbest, self._config = scores, lens, beam_size, nbest, config
        self._device = device
        ratio = config.maxlenratio or 1.0
        self._most = torch.tensor([max(1, int(ratio * length)) for length in lens], device=device)
        self._least = torch.tensor([int(config.minlenratio * length) for length in lens], device=device)
        self._ended: List[List[Ended]] = [[] for _ in lens]
        self._best_of_length: List[Dict[int, float]] = [{} for _ in lens]

    def search(self) -> List[List[Ended]]:
        """Up to `nbest` hypotheses of each utterance, best first."""
        prefixes: Optional[_Prefixes] = self._start()
        length = 0
        while prefixes is not None:
            prefixes = self._advance(prefixes, self._candidates(prefixes, length), length)
            length += 1
        return [sorted(ended, key=lambda one: -one.score)[: self._nbest] for ended in self._ended]

    def _start(self) -> Optional[_Prefixes]:
        heard = [n for n, length in enumerate(self._lens) if length > 0]
        if not heard:
            return None
        utterances = torch.tensor(heard, device=self._device)
        state, ahead = self._scores.full.start(utterances)
        ctc = self._scores.ctc.start(utterances) if self._scores.ctc is not None else None
        none = utterances.new_zeros(len(heard), 0)
        return _Prefixes(utterances * self._beam_size, none, ahead.new_zeros(len(heard)), state, ahead, ctc)

    def _utterances(self, prefixes: _Prefixes) -> Tensor:
        return torch.div(prefixes.slots, self._beam_size, rounding_mode="floor")

    def _candidates(self, prefixes: _Prefixes, length: int) -> _Candidates:
        """Scores of what may follow prefixes of `length` labels; -inf where it may not."""
        utterances = self._utterances(prefixes)
        ahead = prefixes.ahead + self._config.length_bonus
        ahead[:, list(self._scores.never)] = _NEVER
        labels = self._asked(ahead)
        scores = prefixes.score.unsqueeze(1) + (ahead if labels is None else ahead.gather(1, labels))
        end = prefixes.score + self._scores.full.final(prefixes.state)
        totals = scores
        if self._scores.ctc is not None and prefixes.ctc is not None:
            weight = self._scores.ctc_weight
            totals = scores + weight * self._scores.ctc.following(prefixes.ctc, labels)
            end = end + weight * self._scores.ctc.ended(prefixes.ctc)
        totals = totals.masked_fill((self._most[utterances] <= length).unsqueeze(1), _NEVER)
        goes_on = torch.zeros(len(self._lens), dtype=torch.bool, device=self._device)
        goes_on[utterances[(totals > _NEVER).any(dim=1)]] = True
        # Where no label can follow, an utterance ends though it has fewer labels than were asked for.
        end = end.masked_fill((self._least[utterances] > length) & goes_on[utterances], _NEVER)
        if labels is None:
            labels = torch.arange(ahead.size(1), device=self._device).expand_as(ahead)
        return _Candidates(labels, scores, torch.cat([totals, end.unsqueeze(1)], dim=1))

    def _asked(self, ahead: Tensor) -> Optional[Tensor]:
        """The labels (E, L) that are looked at; None for all of them."""
        num = int(PRE_BEAM * self._beam_size)
        return ahead.topk(num, dim=1).indices if self._scores.chooses and num < ahead.size(1) else None

    def _advance(self, prefixes: _Prefixes, candidates: _Candidates, length: int) -> Optional[_Prefixes]:
        """Follow the best candidates of each utterance; those that end are noted. None where nothing is left."""
        num, size, width = len(self._lens), self._beam_size, candidates.totals.size(1)
        table = candidates.totals.new_full((num * size, width), _NEVER)
        table[prefixes.slots] = candidates.totals
        row_of_slot = torch.zeros(num * size, dtype=torch.int64, device=self._device)
        row_of_slot[prefixes.slots] = torch.arange(len(prefixes.slots), device=self._device)
        top = table.view(num, -1).topk(size, dim=1)
        parent = torch.div(top.indices, width, rounding_mode="floor")
        choice = top.indices - parent * width
        rows = row_of_slot[parent + torch.arange(0, num * size, size, device=self._device).unsqueeze(1)]
        found, ends = top.values > _NEVER, choice == width - 1
        self._note(found & ends, top.values, prefixes.labels[rows[found & ends]], length)
        utterances, places = (found & ~ends & self._worth_following(top.values, length)).nonzero(as_tuple=True)
        if not len(utterances):
            return None
        rows, choice = rows[utterances, places], choice[utterances, places]
        return self._follow(prefixes, candidates, rows, choice, utterances * size + places)

    def _follow(
        self, prefixes: _Prefixes, candidates: _Candidates, rows: Tensor, choice: Tensor, slots: Tensor
    ) -> _Prefixes:
        """The prefixes `rows` (E',) with their candidates `choice` (E',) appended, at `slots` (E',)."""
        units = candidates.labels[rows, choice]
        state, ahead = self._scores.full.advance(tuple(tensor[rows] for tensor in prefixes.state), units)
        ctc = None
        if self._scores.ctc is not None and prefixes.ctc is not None:
            ctc = self._scores.ctc.append(prefixes.ctc.rows(rows), units)
        labels = torch.cat([prefixes.labels[rows], units.unsqueeze(1)], dim=1)
        return _Prefixes(slots, labels, candidates.scores[rows, choice], state, ahead, ctc)

    def _note(self, ends: Tensor, totals: Tensor, labels: Tensor, length: int) -> None:
        """Keep what ended: `ends` and `totals` (N, K), and the labels of those that did, in order."""
        utterances = ends.nonzero()[:, 0].tolist()
        for n, score, own in zip(utterances, totals[ends].tolist(), labels.tolist()):
            self._ended[n].append(Ended(own, score))
            self._best_of_length[n][length] = max(score, self._best_of_length[n].get(length, _NEVER))

    def _worth_following(self, totals: Tensor, length: int) -> Tensor:
        """(N, K): whether the prefixes with `totals` (N, K) may still be among the best."""
        least = [float("inf") if self._is_over(n, length) else self._to_beat(n) for n in range(len(self._lens))]
        return totals > torch.tensor(least, dtype=totals.dtype, device=self._device).unsqueeze(1)

    def _to_beat(self, n: int) -> float:
        """The score that a prefix must be above, as none rises: that of the last hypothesis that would be returned."""
        if not self._scores.only_falls or len(self._ended[n]) < self._nbest:
            return _NEVER
        return sorted((one.score for one in self._ended[n]), reverse=True)[self._nbest - 1]

    def _is_over(self, n: int, length: int) -> bool:
        """Whether the best hypotheses of the last lengths are so bad that longer ones will be too."""
        if self._config.maxlenratio > 0 or not self._ended[n]:
            return False
        of_length = self._best_of_length[n]
        best = max(of_length.values())
        last = [of_length.get(length - back) for back in range(LAST_LENGTHS)]
        return all(score is not None and score - best < HOPELESS for score in last)
