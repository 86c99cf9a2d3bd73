"""Perceptual models as the training loop sees them: the codes of all codebooks but the first, behind a prompt."""

import zlib
from typing import Dict, Iterable, List, NamedTuple, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key, facts_in
from icefall_discrete.data.facts import text_fact
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.perceptual.network import FillConfig, Filler, behind_prompts, generators, text_ids
from icefall_discrete.systems.perceptual.settings import TaskConfig
from icefall_discrete.training.system import Batch, Losses

_SEEDS = 2**62


class CodecBatch(NamedTuple):
    """Codes (N, T, K) with lens (N,), on the device; names of the utterances, and their texts, where they are read."""

    codes: Tensor
    lens: Tensor
    names: List[str]
    texts: Sequence[Tensor] = ()


def seeds_of(names: Sequence[str], seed: int) -> List[int]:
    """A seed for each utterance, whatever it is computed together with."""
    return [zlib.crc32(f"{seed} {name}".encode()) for name in names]


def prompts_of(lens: Tensor, spec: FeatureSpec, config: FillConfig) -> Tensor:
    """Frames (N,) of prompts of utterances of so many frames (N,)."""
    most = round(config.prompt_sec * spec.frame_rate_hz)
    return torch.div(lens, 2, rounding_mode="floor").clamp(max=most)


def texts_in(batch: Batch, network: Filler) -> List[Tensor]:
    """Texts of a batch, as ids, if the network reads them. Raises ValueError, naming the cut, where one lacks."""
    if network.letters is None:
        return []
    return [text_ids(text_fact(facts, "text"), f"cut {name}") for name, facts in zip(batch["cut_ids"], facts_in(batch))]


class PerceptualSystem(AcousticSystem[CodecBatch]):
    """A network and its loss, of a prompt that is drawn.

    Training draws anew at each step, by torch's own generator; validation always the same of an utterance.

    Args:
      network: the network. config: prompts. spec: of the codes.
    """

    network: Filler

    def __init__(self, network: Filler, config: TaskConfig, spec: FeatureSpec) -> None:
        super().__init__(network, spec)
        self._most = round(config.longest_prompt_sec * spec.frame_rate_hz)

    def prepare(self, batch: Batch, device: torch.device) -> CodecBatch:
        """Tensors on `device` of a batch of the loader (data/dataset.py)."""
        codes, lens = (batch[name].to(device, non_blocking=True) for name in (batch_key(self.spec), "frame_lens"))
        return CodecBatch(codes, lens, list(batch["cut_ids"]), texts_in(batch, self.network))

    def losses(self, prepared: CodecBatch, step: int) -> Losses:
        """Nats a masked code, or squared distance a frame."""
        number = len(prepared.names)
        seeds = torch.randint(_SEEDS, (number,)).tolist() if self.training else seeds_of(prepared.names, 0)
        draws = generators(seeds)
        prompts = [
            int(torch.randint(min(length, self._most + 1), (), generator=generator))
            for length, generator in zip(prepared.lens.tolist(), draws)
        ]
        given = torch.tensor(prompts, device=prepared.lens.device)
        cost = self.network.cost(prepared.codes, prepared.lens, given, draws, prepared.texts)
        total, count = cost.sums.sum(), cost.counts.sum()
        return Losses(total, {}, count, cost.sums.isfinite(), total / count)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """{"dev_code_accuracy"}: percent of the codes that are found, behind prompts of 3 s and in other codebooks."""
        config, right, number = FillConfig(), 0, 0
        for batch in batches:
            prepared = self.prepare(batch, next(self.network.parameters()).device)
            prompts = prompts_of(prepared.lens, self.spec, config)
            draws = generators(seeds_of(prepared.names, config.draw_seed))
            found = self.network.filled(prepared.codes, prepared.lens, prompts, config, draws, prepared.texts)
            sought = behind_prompts(prepared.codes, prepared.lens, prompts)
            right += int((found == prepared.codes)[sought][:, 1:].sum())
            number += int(sought.sum()) * (self.spec.num_codebooks - 1)
        return {"dev_code_accuracy": 100.0 * right / number} if number else {}
