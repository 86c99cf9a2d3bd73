"""Masked prediction as the training loop sees it: frames of which some are hidden, and the units to predict there.

All random numbers of a step follow from the seed that its batch brings along, so that training can go on anywhere.
"""

from pathlib import Path
from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import from_dict
from icefall_discrete.systems.masked_prediction.config import MaskedPredictionConfig
from icefall_discrete.systems.masked_prediction.loss import UnitScores, masked_loss
from icefall_discrete.tokenizers.networks.mel_encoder import MelEncoder
from icefall_discrete.training.fit_folder import SYSTEM, read_system
from icefall_discrete.training.system import Batch, Losses, System


class MaskedFrames(NamedTuple):
    """mel (N, T, 2 M), units (N, T) and masked (N, T); padding (N, T), true behind ends, or None; seed: of dropout."""

    mel: Tensor
    units: Tensor
    masked: Tensor
    padding: Optional[Tensor]
    seed: int


class MaskedNetwork(nn.Module):
    """The encoder of iteration `number`, and the scores of its units."""

    def __init__(self, config: MaskedPredictionConfig, number: int) -> None:
        super().__init__()
        self.encoder = MelEncoder(config, config.dropout)
        self.scores = UnitScores(config.dim, config.teacher_clusters[number - 1], config.prediction)


class MaskedSystem(System[MaskedFrames]):
    """Prediction of the units of hidden frames. Its parts hold the masked accuracy, `masked_acc`.

    Args:
      network: what is trained. config: the settings. number: of the iteration, from 1.
    """

    network: MaskedNetwork
    if_too_large = "lower batch_sec"

    def __init__(self, network: MaskedNetwork, config: MaskedPredictionConfig, number: int) -> None:
        super().__init__(network)
        self.config, self.number = config, number
        self.if_not_finite = (
            f"lower learning_rate, which is {config.learning_rate:g}, or raise warmup_steps, move the folder of this "
            "training aside and rerun"
        )

    def prepare(self, batch: Batch, device: torch.device) -> MaskedFrames:
        """Tensors on `device`."""
        padding = batch["padding"].to(device) if bool(batch["padding"].any()) else None
        mel, units, masked = (batch[name].to(device) for name in ("mel", "units", "masked"))
        return MaskedFrames(mel, units, masked, padding, batch["seed"])

    def losses(self, prepared: MaskedFrames, step: int) -> Losses:
        """Nats a hidden frame."""
        torch.manual_seed(prepared.seed)
        states = self.network.encoder(prepared.mel, prepared.padding, prepared.masked, self.config.num_layers)
        found = masked_loss(self.network.scores, states, prepared.units, prepared.masked)
        total = found.mean.detach().double() * found.count
        parts = {"masked_acc": torch.tensor(found.correct, device=total.device)}
        return Losses(total, parts, torch.tensor(found.count), total.isfinite().expand(len(prepared.mel)), found.mean)


def from_folder(folder: Path) -> MaskedSystem:
    """The system of a training, with fresh weights, to do a step of it again."""
    settings = read_system(folder).settings
    config = from_dict(MaskedPredictionConfig, settings["config"], str(folder / SYSTEM))
    return MaskedSystem(MaskedNetwork(config, settings["iteration"]), config, settings["iteration"])
