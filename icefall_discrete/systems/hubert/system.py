"""HuBERT as the training loop sees it."""

from typing import Dict, Iterable, List, NamedTuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.data.units import UNITS
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.hidden_frames import errors_in, own_seeds, seeds_of
from icefall_discrete.systems.hidden_spans import spans_of
from icefall_discrete.systems.hubert.network import Hubert, Known
from icefall_discrete.systems.hubert.settings import TrainSettings
from icefall_discrete.training.system import Batch, Losses


class Heard(NamedTuple):
    """Frames of samples or features (N, T, F) with lens (N,), units (N, U), on the device; names of the utterances."""

    frames: Tensor
    lens: Tensor
    units: Tensor
    names: List[str]


class HubertSystem(AcousticSystem[Heard]):
    """The network and its loss: nats for each hidden frame, weighted ones for the others, a penalty.

    Training hides other frames at every step; validation and figures always the same of an utterance.

    Args:
      network: the network. settings: of the run. spec: of what is heard.
    """

    network: Hubert

    def __init__(self, network: Hubert, settings: TrainSettings, spec: FeatureSpec) -> None:
        super().__init__(network, spec)
        self.mask, self.loss = settings.mask, settings.loss

    def prepare(self, batch: Batch, device: torch.device) -> Heard:
        """Tensors on `device` of a batch with units (data/units.py)."""
        tensors = (batch[batch_key(self.spec)], batch["frame_lens"], batch[UNITS])
        frames, lens, units = (one.to(device, non_blocking=True) for one in tensors)
        return Heard(frames, lens, units, list(batch["cut_ids"]))

    def know(self, prepared: Heard, seeds: List[int]) -> Known:
        """Hide frames of each utterance as its seed says, and look for their units."""
        lens = self.network.config.num_encoder_frames(prepared.lens, self.spec).tolist()
        hidden = spans_of(lens, prepared.names, self.mask, seeds).to(prepared.frames.device)
        return self.network.know(prepared.frames, prepared.lens, prepared.units, hidden)

    def losses(self, prepared: Heard, step: int) -> Losses:
        """Nats a hidden frame, with the weighted others; the part `masked_acc` is the share whose unit is found."""
        seeds = seeds_of(prepared.names, self.training)
        found = self.know(prepared, seeds)
        count = found.hidden.sum().clamp(min=1)
        mean = found.nats.sum() / count + self.loss.feature_penalty * found.penalty
        if self.loss.seen_weight:
            mean = mean + self.loss.seen_weight * found.seen_nats.sum() / found.seen.sum().clamp(min=1)
        parts = {
            "masked": found.nats.detach().sum(),
            "masked_acc": found.correct.sum(),
            "penalty": found.penalty.detach() * count,
        }
        return Losses(mean.detach() * count, parts, count, found.nats.isfinite(), mean)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Units of hidden frames that are not found, in percent: {"dev_masked_errors"}."""
        return errors_in("dev_masked_errors", self, batches, lambda heard: self.know(heard, own_seeds(heard.names)))
