"""Answers of a model of text and speech, id by id, with keys and values of what was seen kept."""

from typing import List, Sequence

import torch

from icefall_discrete.nn.decoder.network import Cache
from icefall_discrete.systems.speech_lm.layouts import AnswerRule
from icefall_discrete.systems.unit_lm.generation import NEVER, SamplingConfig, chosen
from icefall_discrete.systems.unit_lm.network import UnitLm


@torch.no_grad()
def answered(
    network: UnitLm, asked: Sequence[List[int]], rule: AnswerRule, config: SamplingConfig, max_ids: int
) -> List[List[int]]:
    """The ids of an answer to each sequence that is asked, without the one that ends it, at most `max_ids`.

    Each draws with a generator of its own, so that it is the same whatever it is asked together with.
    """
    device, end, pad = network.input_embedding.table.device, network.pattern.end, network.pattern.stream_sizes[0]
    longest = max(map(len, asked))
    starts = torch.tensor([longest - len(one) for one in asked])
    given = torch.tensor([[pad] * (longest - len(one)) + [end, *one] for one in asked]).unsqueeze(2)
    generators = [config.generator(number) for number in range(len(asked))]
    found: List[List[int]] = [[] for _ in asked]
    done = [False] * len(asked)
    cache, places = Cache(), starts.to(device) if bool(starts.any()) else None
    for step in range(max_ids):
        scores = network.scores(given.to(device), cache, places, last_only=True)[:, 0].cpu()
        scores = scores.masked_fill(~rule.choosable[step % len(rule.choosable)], NEVER)
        new = [chosen(row, config, generator) for row, generator in zip(scores, generators)]
        done = [was or one == rule.stop for was, one in zip(done, new)]
        for row, one, is_done in zip(found, new, done):
            if not is_done:
                row.append(one)
        if all(done):
            break
        given = torch.tensor(new).view(-1, 1, 1)
    return found
