"""Continuous BERT as the training loop sees it."""

from typing import List

import torch

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.systems.continuous_bert.network import ContinuousBert, Told
from icefall_discrete.systems.continuous_bert.settings import TrainSettings
from icefall_discrete.systems.contrast import ContrastSystem, Samples
from icefall_discrete.systems.negatives import draw
from icefall_discrete.training.system import Losses


class ContinuousBertSystem(ContrastSystem):
    """The network and its loss: nats for each hidden frame.

    Args:
      network: the network. settings: of the run. spec: of the features.
    """

    network: ContinuousBert

    def __init__(self, network: ContinuousBert, settings: TrainSettings, spec: FeatureSpec) -> None:
        super().__init__(network, spec)
        self.mask, self.num_negatives = settings.mask, settings.loss.num_negatives

    def contrast(self, prepared: Samples, seeds: List[int]) -> Told:
        """Hide frames of each utterance as its seed says, and compare; only those that the encoder tells of."""
        config = self.network.config
        told_of = config.num_encoder_frames(prepared.lens, self.spec) * config.frames_each
        lens = torch.minimum(prepared.lens, told_of).tolist()
        drawn = draw(lens, prepared.names, self.mask, self.num_negatives, seeds)
        return self.network.contrast(prepared.frames, prepared.lens, drawn.to(prepared.frames.device))

    def losses(self, prepared: Samples, step: int) -> Losses:
        """Nats a hidden frame; the part `contrast_acc` is the share that is told apart."""
        found = self.contrast(prepared, self.seeds(prepared))
        count = found.hidden.sum().clamp(min=1)
        parts = {"contrast_acc": found.correct.sum()}
        return Losses(found.nats.sum(), parts, count, found.nats.isfinite(), found.nats.sum() / count)
