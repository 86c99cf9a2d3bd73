"""Codes that go on with a prompt, step by step, with keys and values of what was seen kept.

Each sequence draws with a generator of its own, so that it is the same whatever it is computed together with.
Letters: N sequences, T frames, K codebooks, S steps, V' ids of a stream.
"""

import dataclasses
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.settings import LARGEST_SEED, check_settings, require_temperature, setting
from icefall_discrete.nn.decoder.network import Cache
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.unit_lm.patterns import padded, require_units

NEVER = float("-inf")


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How the next id is chosen."""

    temperature: float = setting(1.0, "scores are divided by it; 0: the most probable id, always", minimum=0)
    top_k: int = setting(0, "choose among the most probable so many; 0: among all", minimum=0)
    top_p: float = setting(
        1.0, "choose among the most probable that together have this probability (nucleus)", above=0, maximum=1
    )
    seed: int = setting(0, "of the draws; each sequence adds its number", minimum=0, maximum=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_settings(self)
        require_temperature("temperature", self.temperature)

    def generator(self, number: int) -> torch.Generator:
        """That of sequence `number`."""
        return torch.Generator().manual_seed(self.seed + number)


def probabilities(scores: Tensor, config: SamplingConfig) -> Tensor:
    """Probabilities (..., V) of ids with scores (..., V), as they are drawn; temperature above 0.

    First the `top_k`, then of these, renormalised, the fewest whose sum reaches `top_p`, at least one.
    """
    scores = scores.float() / config.temperature
    if 0 < config.top_k < scores.shape[-1]:
        least = scores.topk(config.top_k, dim=-1).values[..., -1:]
        scores = scores.masked_fill(scores < least, NEVER)
    found = scores.softmax(dim=-1)
    if config.top_p < 1.0:
        ranked, order = found.sort(dim=-1, descending=True)
        before = ranked.cumsum(dim=-1) - ranked
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= config.top_p)
        found = found.masked_fill(dropped, 0.0)
    return found / found.sum(dim=-1, keepdim=True)


def chosen(scores: Tensor, config: SamplingConfig, generator: torch.Generator) -> int:
    """An id for scores (V,)."""
    if config.temperature == 0.0:
        return int(scores.argmax())
    return int(torch.multinomial(probabilities(scores.cpu(), config), 1, generator=generator))


def chosen_of_each(scores: Sequence[Tensor], config: SamplingConfig, generator: torch.Generator) -> Tensor:
    """An id (K,) for each of K scores (V_k,), drawn independently."""
    if len({len(one) for one in scores}) > 1:
        return torch.tensor([chosen(one, config, generator) for one in scores])
    together = torch.stack(list(scores))
    if config.temperature == 0.0:
        return together.argmax(dim=1)
    return torch.multinomial(probabilities(together.cpu(), config), 1, generator=generator)[:, 0]


class _Row:
    """One sequence while it is made: its steps, and those of the prompt that it has to keep to."""

    def __init__(self, network: UnitLm, prompt: Tensor, config: SamplingConfig, number: int) -> None:
        self._pattern = pattern = network.pattern
        self._most = network.config.decoder.most_steps
        self._generator = config.generator(number)
        self._config = config
        known = pattern.known_steps(len(prompt))
        self._forced = pattern.begun(prompt, known + len(pattern.codebook_sizes))
        self.steps: List[Tensor] = list(self._forced[:known])
        self._ended = -1

    @property
    def is_done(self) -> bool:
        """Whether END was said, and all codes of the frames before it, or learned positions end here."""
        is_full = self._most is not None and len(self.steps) >= self._most
        return is_full or (self._ended >= 0 and len(self.steps) > self._pattern.last_step(self._ended))

    def extend(self, scores: Tensor) -> None:
        """Choose the next step by scores (sum V')."""
        step, sizes = len(self.steps), self._pattern.stream_sizes
        scores = scores.masked_fill(~self._pattern.choosable(step), NEVER)
        made = torch.tensor(sizes)
        for stream, part in enumerate(scores.split(sizes)):
            if not self._pattern.is_open(step, self._ended)[stream]:
                continue
            forced = int(self._forced[step, stream]) if step < len(self._forced) else sizes[stream]
            made[stream] = forced if forced < sizes[stream] else chosen(part, self._config, self._generator)
            if stream == 0 and int(made[0]) == self._pattern.end:
                self._ended = step
        self.steps.append(made)


@torch.no_grad()
def continued(
    network: UnitLm, prompts: Sequence[Tensor], config: SamplingConfig, max_frames: int, numbers: Sequence[int] = ()
) -> List[Tensor]:
    """Codes (T', K) that begin with each of the prompts (T, K), up to an end that is chosen or `max_frames` more.

    Where positions are learned, codes end with them at the latest.

    Args:
      network: in evaluation mode. prompts: on the CPU; T may be 0. numbers: for the draws of each; default 0, 1, ...
    Raises:
      ValueError: for a prompt that is none of the codes that the network knows, or longer than its learned positions.
    """
    pattern, device = network.pattern, network.input_embedding.table.device
    end_of_places = network.config.decoder.most_steps
    for prompt in prompts:
        require_units(prompt, pattern.codebook_sizes)
        # Behind the last frame, later codebooks of some patterns still have to be told.
        _require_places(pattern.last_step(pattern.known_steps(len(prompt))), end_of_places)
    rows = [_Row(network, prompt, config, number) for prompt, number in zip(prompts, numbers or range(len(prompts)))]
    longest = max(len(row.steps) for row in rows)
    starts = torch.tensor([longest - len(row.steps) for row in rows])
    shifted = [pattern.first_step().repeat(int(start) + 1, 1) for start in starts]
    given = padded([torch.cat([first, *(one[None] for one in row.steps)]) for first, row in zip(shifted, rows)],
                   pattern.stream_sizes)  # fmt: skip
    books = len(pattern.codebook_sizes)
    most = max_frames * (books if pattern.is_flat else 1) + (books - 1 if pattern.kind == "delay" else 0)
    cache, places = Cache(), starts if bool(starts.any()) or end_of_places is not None else None
    for _ in range(most):
        where = None if places is None else places.to(device)
        scores = network.scores(given.to(device), cache, where, last_only=True)[:, 0].cpu()
        for row, ours in zip(rows, scores):
            if not row.is_done:
                row.extend(ours)
        done = torch.tensor([row.is_done for row in rows])
        if bool(done.all()):
            break
        if end_of_places is not None and places is not None:
            places = places + done  # what is done stays at its place
        given = torch.stack([row.steps[-1] for row in rows]).unsqueeze(1)
    found = [pattern.restored(torch.stack(row.steps)) if row.steps else prompt for row, prompt in zip(rows, prompts)]
    return [codes[: len(prompt) + max_frames] for codes, prompt in zip(found, prompts)]


def _require_places(num_steps: int, end_of_places: Optional[int]) -> None:
    if end_of_places is not None and num_steps >= end_of_places:
        raise ValueError(
            f"the prompt has {num_steps} steps, but the learned positions of the model end at {end_of_places}, what "
            "follows included; let less of it be heard (--prompt-sec)."
        )
