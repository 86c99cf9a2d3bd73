"""A language model of units as the training loop sees it."""

import math
from typing import Dict, Iterable, List, NamedTuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.training.system import Batch, Losses, System


class CodeBatch(NamedTuple):
    """Codes (N, T, K) with lens (N,), on the device; names of the utterances."""

    codes: Tensor
    lens: Tensor
    names: List[str]


class UnitLmSystem(System[CodeBatch]):
    """The network and its loss: nats of each code after those before it, ends of utterances among them.

    Args:
      network: the network. spec: of the codes.
    """

    network: UnitLm
    if_not_finite = "look at those cuts, or lower --peak-lr and train anew"
    if_too_large = "lower --max-duration or --max-utterance-sec, or set --quadratic-duration 30"

    def __init__(self, network: UnitLm, spec: FeatureSpec) -> None:
        super().__init__(network)
        self.spec = spec

    def prepare(self, batch: Batch, device: torch.device) -> CodeBatch:
        """Tensors on `device` of a batch of the loader (data/dataset.py)."""
        codes, lens = (batch[name].to(device, non_blocking=True) for name in (batch_key(self.spec), "frame_lens"))
        return CodeBatch(codes, lens, list(batch["cut_ids"]))

    def losses(self, prepared: CodeBatch, step: int) -> Losses:
        """Nats a code."""
        told = self.network(prepared.codes, prepared.lens)
        total, count = told.nats.sum(), told.codes.sum()
        return Losses(total, {}, count, told.nats.isfinite(), total / count)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """What held-out speech costs: {"dev_bits_per_second"}."""
        device = next(self.network.parameters()).device
        nats = seconds = 0.0
        with torch.no_grad():
            for batch in batches:
                prepared = self.prepare(batch, device)
                nats += float(self.network(prepared.codes, prepared.lens).nats.sum())
                seconds += float(batch["duration_sec"].sum())
        return {"dev_bits_per_second": nats / math.log(2) / seconds} if seconds else {}
