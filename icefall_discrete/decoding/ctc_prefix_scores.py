"""CTC scores of prefixes, for searches that go from label to label rather than from frame to frame.

Watanabe et al. 2017 (https://doi.org/10.1109/JSTSP.2017.2763455), algorithm 2, for many prefixes of many utterances at
once. What the algorithm sums frame by frame is a linear recurrence, which is solved here in log2(T') doubling steps.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

_NEVER = float("-inf")
# Numbers that are held at once where every label is asked for.
_MOST_AT_ONCE = 2**22


class CtcPrefixes(NamedTuple):
    """M prefixes; column t of T' + 1 tells of the alignments that have used t frames."""

    utterances: Tensor  # (M,) place in the batch
    last: Tensor  # (M,) the last label; blank for the empty prefix
    ends_label: Tensor  # (M, T' + 1) nats of the alignments of the prefix that end in its last label
    ends_blank: Tensor  # (M, T' + 1) nats of those that end in blank
    score: Tensor  # (M,) nats of all label sequences that begin with the prefix

    def rows(self, index: Tensor) -> "CtcPrefixes":
        """The prefixes at `index` (E,)."""
        return CtcPrefixes(*(tensor[index] for tensor in self))

    @property
    def either(self) -> Tensor:
        """(M, T' + 1) nats of all alignments of the prefix."""
        return torch.logaddexp(self.ends_label, self.ends_blank)


class CtcPrefixScores:
    """Log-probability of all label sequences that begin with a prefix, and of the prefix being all that was said.

    The first is the sum of the second and of the first for each label that may follow. Frames behind the end of an
    utterance change nothing. Computed in the type of `log_probs`.

    Args:
      log_probs: (N, T', V) of the units on each frame, in nats. lens: (N,) frames. blank_id: of the blank.
    """

    def __init__(self, log_probs: Tensor, lens: Tensor, blank_id: int) -> None:
        outside = torch.arange(log_probs.size(1), device=log_probs.device) >= lens.to(log_probs.device).unsqueeze(1)
        # Behind the end there is nothing but blanks, which cost nothing.
        inside = log_probs.masked_fill(outside.unsqueeze(2), _NEVER)
        inside[..., blank_id].masked_fill_(outside, 0.0)
        self._by_unit = inside.transpose(1, 2).contiguous()  # (N, V, T')
        self._blank_id = blank_id

    def start(self, utterances: Tensor) -> CtcPrefixes:
        """The empty prefix of each of `utterances` (M,)."""
        blanks = self._by_unit[utterances, self._blank_id]
        ends_blank = torch.cat([blanks.new_zeros(len(blanks), 1), blanks.cumsum(dim=1)], dim=1)
        last = torch.full_like(utterances, self._blank_id)
        ends_label = torch.full_like(ends_blank, _NEVER)
        return CtcPrefixes(utterances, last, ends_label, ends_blank, blanks.new_zeros(len(blanks)))

    def following(self, prefixes: CtcPrefixes, labels: Optional[Tensor] = None) -> Tensor:
        """Score (M, K) of each prefix with each of its labels (M, K) appended, or (M, V) for all; blank has -inf."""
        if labels is not None:
            return self._extended(prefixes, labels)
        num, (vocab_size, frames) = len(prefixes.last), self._by_unit.shape[1:]
        every = torch.arange(vocab_size, device=self._by_unit.device)
        parts = every.split(max(1, _MOST_AT_ONCE // max(1, num * frames)))
        return torch.cat([self._extended(prefixes, part.expand(num, -1)) for part in parts], dim=1)

    def _extended(self, prefixes: CtcPrefixes, labels: Tensor) -> Tensor:
        before = _before(prefixes.either.unsqueeze(1), prefixes.ends_blank.unsqueeze(1), labels, prefixes.last)
        emitted = self._by_unit[prefixes.utterances.unsqueeze(1), labels]
        return (before + emitted).logsumexp(dim=2).masked_fill(labels == self._blank_id, _NEVER)

    def ended(self, prefixes: CtcPrefixes) -> Tensor:
        """Log-probability (M,) of each prefix being all that was said."""
        return torch.logaddexp(prefixes.ends_label[:, -1], prefixes.ends_blank[:, -1])

    def append(self, prefixes: CtcPrefixes, labels: Tensor) -> CtcPrefixes:
        """The prefixes with labels (M,), none of them blank, appended."""
        either, ends_blank = prefixes.either.unsqueeze(1), prefixes.ends_blank.unsqueeze(1)
        begun = _before(either, ends_blank, labels.unsqueeze(1), prefixes.last).squeeze(1)
        emitted = self._by_unit[prefixes.utterances, labels]
        blanks = self._by_unit[prefixes.utterances, self._blank_id]
        begun = begun + emitted
        never = begun.new_full((len(begun), 1), _NEVER)
        ends_label = torch.cat([never, _carried(begun, emitted)], dim=1)
        ends_blank = torch.cat([never, _carried(ends_label[:, :-1] + blanks, blanks)], dim=1)
        return CtcPrefixes(prefixes.utterances, labels, ends_label, ends_blank, begun.logsumexp(dim=1))


def _before(either: Tensor, ends_blank: Tensor, labels: Tensor, last: Tensor) -> Tensor:
    """Nats (M, K, T') of the alignments after which each label may come: the same label again needs a blank before."""
    again = (labels == last.unsqueeze(1)).unsqueeze(2)
    return torch.where(again, ends_blank[..., :-1], either[..., :-1])


def _carried(begun: Tensor, stays: Tensor) -> Tensor:
    """y (M, T') with y_t = logaddexp(y_{t-1} + stays_t, begun_t), where nothing is before the first frame."""
    shift = 1
    while shift < begun.size(1):
        longer = torch.logaddexp(begun[:, shift:], begun[:, :-shift] + stays[:, shift:])
        begun = torch.cat([begun[:, :shift], longer], dim=1)
        stays = torch.cat([stays[:, :shift], stays[:, shift:] + stays[:, :-shift]], dim=1)
        shift *= 2
    return begun
