"""Answers of a model of text and speech, step by step, with keys and values of what was seen kept."""

import zlib
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.nn.decoder.network import Cache
from icefall_discrete.systems.speech_lm.layouts import AnswerRule
from icefall_discrete.systems.speech_lm.steps import Steps
from icefall_discrete.systems.unit_lm.generation import NEVER, SamplingConfig, chosen, chosen_of_each
from icefall_discrete.systems.unit_lm.network import UnitLm


class _Row:
    """An answer while it is said, part by part."""

    def __init__(
        self, steps: Steps, rules: Sequence[AnswerRule], config: SamplingConfig, number: int, most: int
    ) -> None:
        self._padding, self._frame = steps.padding, steps.frame
        self._rules, self._config, self._generator = list(rules), config, config.generator(number)
        self._most, self._num_of_part = most, 0
        self.steps: List[Tensor] = []

    @property
    def is_done(self) -> bool:
        """Whether the last part has ended, or there are as many steps as there may be."""
        return not self._rules or len(self.steps) >= self._most

    def extend(self, scores: Tensor) -> Tensor:
        """The next step (K',) by scores (sum V'); that of the last end where it is done."""
        rule, parts = self._rules[0], scores.split(self._padding.tolist())
        allowed = rule.choosable[self._num_of_part % len(rule.choosable)]
        if self._num_of_part < rule.least:
            allowed = allowed.clone()
            allowed[rule.stop] = False
        one = chosen(parts[0].masked_fill(~allowed, NEVER), self._config, self._generator)
        self._num_of_part += 1
        if one == rule.stop:
            self._rules.pop(0)
            self._num_of_part = 0
        step = self._padding.clone()
        step[0] = one
        if one == self._frame and len(parts) > 1:
            step[1:] = chosen_of_each(parts[1:], self._config, self._generator)
        if self._rules:
            self.steps.append(step)
        return step


def number_of(name: str) -> int:
    """What is added to the seed for the draws of an utterance, whatever it is asked together with."""
    return zlib.crc32(name.encode())


@torch.no_grad()
def answered(
    network: UnitLm,
    steps: Steps,
    asked: Sequence[List[int]],
    rules: Sequence[AnswerRule],
    config: SamplingConfig,
    max_steps: int,
    numbers: Optional[Sequence[int]] = None,
    voices: Optional[Tensor] = None,
) -> List[List[int]]:
    """The ids of an answer to each sequence that is asked, without the one that ends it, of at most `max_steps` steps.

    Each draws with a generator of its own, so that it is the same whatever it is asked together with; `numbers` are
    added to its seed (None: 0, 1, ...). `voices` are vectors (N, E) that the sequences begin with, or none. Where
    positions are learned, an answer ends with them at the latest.

    Raises:
      ValueError: if they end with what is asked already.
    """
    device, first = network.input_embedding.table.device, network.pattern.first_step()
    heard = [steps.arranged(one) for one in asked]
    longest = max(map(len, heard))
    starts = torch.tensor([longest - len(one) for one in heard])
    given = torch.stack([torch.cat([steps.padding.repeat(longest - len(one), 1), first[None], one]) for one in heard])
    end_of_places = network.config.decoder.most_steps
    most = [max_steps if end_of_places is None else min(max_steps, end_of_places - len(one)) for one in heard]
    numbers = range(len(asked)) if numbers is None else numbers
    rows = [_Row(steps, rules, config, number, least) for number, least in zip(numbers, most)]
    cache, places = Cache(), starts if bool(starts.any()) or end_of_places is not None else None
    while True:
        where = None if places is None else places.to(device)
        scores = network.scores(given.to(device), cache, where, last_only=True, voices=voices)[:, 0].cpu()
        voices = None  # they are beside the first step
        given = torch.stack([first if row.is_done else row.extend(ours) for row, ours in zip(rows, scores)])[:, None]
        done = torch.tensor([row.is_done for row in rows])
        if bool(done.all()):
            break
        if end_of_places is not None and places is not None:
            places = places + done  # what is done stays at its place
    return [steps.restored(torch.stack(row.steps)) if row.steps else [] for row in rows]
