"""Answers of a model of text and speech, id by id, with keys and values of what was seen kept."""

import zlib
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.nn.decoder.network import Cache
from icefall_discrete.systems.speech_lm.layouts import AnswerRule
from icefall_discrete.systems.unit_lm.generation import NEVER, SamplingConfig, chosen
from icefall_discrete.systems.unit_lm.network import UnitLm


class _Row:
    """An answer while it is said, part by part."""

    def __init__(self, rules: Sequence[AnswerRule], config: SamplingConfig, number: int, most: int) -> None:
        self._rules, self._config, self._generator = list(rules), config, config.generator(number)
        self._most, self._num_of_part = most, 0
        self.ids: List[int] = []

    @property
    def is_done(self) -> bool:
        """Whether the last part has ended, or there are as many ids as there may be."""
        return not self._rules or len(self.ids) >= self._most

    def extend(self, scores: Tensor) -> int:
        """The next id by scores (V,); that of the last end where it is done."""
        rule = self._rules[0]
        allowed = rule.choosable[self._num_of_part % len(rule.choosable)]
        if self._num_of_part < rule.least:
            allowed = allowed.clone()
            allowed[rule.stop] = False
        one = chosen(scores.masked_fill(~allowed, NEVER), self._config, self._generator)
        self._num_of_part += 1
        if one == rule.stop:
            self._rules.pop(0)
            self._num_of_part = 0
        if self._rules:
            self.ids.append(one)
        return one


def number_of(name: str) -> int:
    """What is added to the seed for the draws of an utterance, whatever it is asked together with."""
    return zlib.crc32(name.encode())


@torch.no_grad()
def answered(
    network: UnitLm,
    asked: Sequence[List[int]],
    rules: Sequence[AnswerRule],
    config: SamplingConfig,
    max_ids: int,
    numbers: Optional[Sequence[int]] = None,
) -> List[List[int]]:
    """The ids of an answer to each sequence that is asked, without the one that ends it, at most `max_ids`.

    Each draws with a generator of its own, so that it is the same whatever it is asked together with; `numbers` are
    added to its seed (None: 0, 1, ...). Where positions are learned, an answer ends with them at the latest.

    Raises:
      ValueError: if they end with what is asked already.
    """
    device, end, pad = network.input_embedding.table.device, network.pattern.end, network.pattern.stream_sizes[0]
    longest = max(map(len, asked))
    starts = torch.tensor([longest - len(one) for one in asked])
    given = torch.tensor([[pad] * (longest - len(one)) + [end, *one] for one in asked]).unsqueeze(2)
    end_of_places = network.config.decoder.most_steps
    most = [max_ids if end_of_places is None else min(max_ids, end_of_places - len(one)) for one in asked]
    numbers = range(len(asked)) if numbers is None else numbers
    rows = [_Row(rules, config, number, least) for number, least in zip(numbers, most)]
    cache, places = Cache(), starts if bool(starts.any()) or end_of_places is not None else None
    while True:
        where = None if places is None else places.to(device)
        scores = network.scores(given.to(device), cache, where, last_only=True)[:, 0].cpu()
        new = [end if row.is_done else row.extend(ours) for row, ours in zip(rows, scores)]
        done = torch.tensor([row.is_done for row in rows])
        if bool(done.all()):
            break
        if end_of_places is not None and places is not None:
            places = places + done  # what is done stays at its place
        given = torch.tensor(new).view(-1, 1, 1)
    return [row.ids for row in rows]
