"""Predictive coding as the training loop sees it."""

from typing import List, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.acoustic_encoder import AcousticEncoderConfig
from icefall_discrete.systems.contrast import ContrastSystem, Samples
from icefall_discrete.systems.negatives import others_of
from icefall_discrete.systems.predictive_coding.network import PredictiveCoding, Told
from icefall_discrete.systems.predictive_coding.settings import TrainSettings
from icefall_discrete.training.system import Losses


def negatives_of(lens: Sequence[int], num_negatives: int, seeds: Sequence[int]) -> Tensor:
    """Of each frame (N, T, K) numbers of others of its utterance of `lens` frames, drawn as its seed says."""
    drawn = torch.zeros(len(lens), max(lens), num_negatives, dtype=torch.long)
    for row, (length, seed) in enumerate(zip(lens, seeds)):
        drawn[row, :length] = others_of(length, num_negatives, torch.Generator().manual_seed(seed))
    return drawn


class PredictiveCodingSystem(ContrastSystem):
    """The network and its loss: nats for each frame ahead, and that of the quantizer.

    Args:
      network: the network. settings: of the run. spec: of the samples.
    """

    network: PredictiveCoding

    def __init__(self, network: PredictiveCoding, settings: TrainSettings, spec: FeatureSpec) -> None:
        super().__init__(network, spec)
        self.num_negatives = settings.loss.num_negatives

    def contrast(self, prepared: Samples, seeds: List[int], step: int = 0) -> Told:
        """Draw negatives of each utterance as its seed says, and tell frames ahead from them.

        Raises:
          ValueError: if no utterance has a frame that is followed by one to be told; one is named.
        """
        config = self.network.config
        if not bool(config.num_encoder_frames(prepared.lens, self.spec).any()):
            raise ValueError(
                f"cut {prepared.names[0]}: the convolutions make too few frames of its {int(prepared.lens[0])} frames "
                f"of samples to tell one {config.first_step} ahead, and no other of its batch has more; raise "
                "--min-utterance-sec, or crop_sec."
            )
        lens = AcousticEncoderConfig.num_encoder_frames(config, prepared.lens, self.spec).tolist()
        negatives = negatives_of(lens, self.num_negatives, seeds).to(prepared.frames.device)
        return self.network.contrast(prepared.frames, prepared.lens, negatives, step)

    def losses(self, prepared: Samples, step: int) -> Losses:
        """Nats a frame ahead, with the quantizer's loss; the part `contrast_acc` is the share that is told."""
        found = self.contrast(prepared, self.seeds(prepared), step)
        count, quantizer = found.hidden.sum(), self.network.front_end.config.quantizer
        weight = 0.0 if quantizer is None else quantizer.loss_weight
        mean = found.nats.sum() / count + weight * found.quantizer_loss
        parts = {"contrastive": found.nats.detach().sum(), "contrast_acc": found.correct.sum()}
        if quantizer is not None:
            parts.update(perplexity=found.perplexity * count, quantizer=found.quantizer_loss.detach() * count)
        return Losses(mean.detach() * count, parts, count, found.nats.isfinite(), mean)
