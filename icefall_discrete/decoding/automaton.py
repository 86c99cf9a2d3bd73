"""A deterministic automaton with back-off arcs on tensors: n-gram models and Aho-Corasick graphs, scored in batches.

Back-off arcs of an n-gram model and failure arcs of Aho and Corasick (1975) are the same thing: where a state has no
arc for a label, the label is looked up in a shorter context, and a weight is paid for it.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.scorer import State


class Arc(NamedTuple):
    """From `state` with label `unit` to `next`; weight in nats."""

    state: int
    unit: int
    next: int
    weight: float


class Backoff(NamedTuple):
    """The state with the next shorter context, and the nats paid for going there."""

    state: int
    weight: float


class BackoffAutomaton:
    """States 0 to S - 1, of which 0 is the root: the empty context, which has an arc for every label.

    Args:
      root: for each label of V its arc from the root.
      arcs: those of other states, at most one for a state and a label.
      backoffs: for each state the one it backs off to; that of the root is ignored. There must be no circle.
    """

    def __init__(self, root: Sequence[Arc], arcs: Sequence[Arc], backoffs: Sequence[Backoff]) -> None:
        self.vocab_size, self.num_states = len(root), len(backoffs)
        self._root_next = torch.tensor([arc.next for arc in root], dtype=torch.int64)
        self._root_weight = torch.tensor([arc.weight for arc in root], dtype=torch.float32)
        arcs = sorted(arcs)
        # One more than there are, so that a search always ends at an arc; no state has it.
        arcs.append(Arc(self.num_states, 0, 0, 0.0))
        key = [arc.state * self.vocab_size + arc.unit for arc in arcs]
        self._key = torch.tensor(key, dtype=torch.int64)
        self._unit = torch.tensor([arc.unit for arc in arcs], dtype=torch.int64)
        self._next = torch.tensor([arc.next for arc in arcs], dtype=torch.int64)
        self._weight = torch.tensor([arc.weight for arc in arcs], dtype=torch.float32)
        firsts = torch.arange(self.num_states + 1) * self.vocab_size
        self._first = torch.searchsorted(self._key, firsts)
        self._chain, self._paid, self._to_root = _chains(backoffs)

    def to(self, device: torch.device) -> "BackoffAutomaton":
        """Move the tensors; returns the automaton itself."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def weights(self, states: Tensor) -> Tensor:
        """Weight (M, V) of each label from states (M,), back-off included."""
        rows = self._root_weight + self._to_root[states].unsqueeze(1)
        # From short contexts to long ones, so that the longest that knows a label has the last word.
        for depth in range(self._chain.size(1) - 1, -1, -1):
            state = self._chain[states, depth]
            count = self._first[state + 1] - self._first[state]
            row = torch.repeat_interleave(count)
            if row.numel():
                place = torch.arange(row.numel(), device=row.device) - (count.cumsum(0) - count)[row]
                arc = self._first[state][row] + place
                rows[row, self._unit[arc]] = self._weight[arc] + self._paid[states, depth][row]
        return rows

    def next_states(self, states: Tensor, units: Tensor) -> Tensor:
        """The states (M,) that labels units (M,) lead to from states (M,)."""
        arc, _, is_root = self._arcs(states, units)
        return torch.where(is_root, self._root_next[units], self._next[arc])

    def weights_of(self, states: Tensor, units: Tensor) -> Tensor:
        """Weight (M,) of each of units (M,) from its state of states (M,), back-off included."""
        arc, depth, is_root = self._arcs(states, units)
        paid = self._paid[states].gather(1, depth.unsqueeze(1)).squeeze(1)
        from_root = self._root_weight[units] + self._to_root[states]
        return torch.where(is_root, from_root, self._weight[arc] + paid)

    def _arcs(self, states: Tensor, units: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """The arc of each label from the longest context that has one, its place in the chain; whether there is none.

        Where there is none, the root's counts, and the others mean nothing.
        """
        keys = self._chain[states] * self.vocab_size + units.unsqueeze(1)
        place = torch.searchsorted(self._key, keys)
        depths = torch.arange(keys.size(1), device=keys.device)
        longest = torch.where(self._key[place] == keys, depths, keys.size(1)).min(dim=1).values
        depth = longest.clamp(max=keys.size(1) - 1)
        return place.gather(1, depth.unsqueeze(1)).squeeze(1), depth, longest == keys.size(1)


def _chains(backoffs: Sequence[Backoff]) -> Tuple[Tensor, Tensor, Tensor]:
    """For each state: itself and those it backs off to, (S, L), root last; what is paid for each, (S, L); the total."""
    chains: List[List[int]] = []
    paid: List[List[float]] = []
    totals = []
    for state in range(len(backoffs)):
        chain, weights, total = [], [], 0.0
        while state != 0:
            chain.append(state)
            weights.append(total)
            total += backoffs[state].weight
            state = backoffs[state].state
        chains.append(chain)
        paid.append(weights)
        totals.append(total)
    longest = max(1, max(len(chain) for chain in chains))
    states = torch.tensor([chain + [0] * (longest - len(chain)) for chain in chains], dtype=torch.int64)
    costs = torch.tensor([weights + [0.0] * (longest - len(weights)) for weights in paid], dtype=torch.float32)
    return states, costs, torch.tensor(totals, dtype=torch.float32)


class AutomatonScorer:
    """Scores labels by the weights of an automaton.

    Args:
      automaton: on the device of the search.
      starts: (N,) the state in which each utterance of the batch begins, or one state (1,) for all.
      ends: (S,) nats added in each state at the end of an utterance; None adds nothing.
      homes: (N,) or (1,), the state to stand in for the root, for automata with several roots; None: the root.
      end_unit: the label whose weight is added at the end of an utterance instead; None: that of no label.
    """

    def __init__(
        self,
        automaton: BackoffAutomaton,
        starts: Tensor,
        ends: Optional[Tensor] = None,
        homes: Optional[Tensor] = None,
        end_unit: Optional[int] = None,
    ) -> None:
        self._automaton, self._starts, self._ends, self._end_unit = automaton, starts, ends, end_unit
        self._homes = torch.zeros_like(starts) if homes is None else homes

    def start(self, utterances: Tensor) -> Tuple[State, Tensor]:
        """Begin in each utterance's start state; the state of a prefix is its automaton state and its home."""
        states, homes = (
            table[utterances] if table.numel() > 1 else table.expand_as(utterances)
            for table in (self._starts, self._homes)
        )
        return (states, homes), self._automaton.weights(states)

    def advance(self, state: State, units: Tensor) -> Tuple[State, Tensor]:
        """Follow the arcs of the labels."""
        states, homes = state
        states = self._automaton.next_states(states, units)
        states = torch.where(states == 0, homes, states)
        return (states, homes), self._automaton.weights(states)

    def final(self, state: State) -> Tensor:
        """What the states add at the end."""
        if self._end_unit is not None:
            return self._automaton.weights_of(state[0], torch.full_like(state[0], self._end_unit))
        return torch.zeros_like(state[0], dtype=torch.float32) if self._ends is None else self._ends[state[0]]
