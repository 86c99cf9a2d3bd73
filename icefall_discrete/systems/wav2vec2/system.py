"""wav2vec 2.0 as the training loop sees it."""

from typing import List

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.systems.contrast import ContrastSystem, Samples
from icefall_discrete.systems.negatives import draw
from icefall_discrete.systems.wav2vec2.network import Contrast, Wav2Vec2
from icefall_discrete.systems.wav2vec2.settings import TrainSettings
from icefall_discrete.training.system import Losses


class Wav2Vec2System(ContrastSystem):
    """The network and its loss: nats for each hidden frame, that of the quantizer, a penalty.

    Args:
      network: the network. settings: of the run. spec: of the samples.
    """

    network: Wav2Vec2

    def __init__(self, network: Wav2Vec2, settings: TrainSettings, spec: FeatureSpec) -> None:
        super().__init__(network, spec)
        self.mask, self.loss = settings.mask, settings.loss

    def contrast(self, prepared: Samples, seeds: List[int], step: int = 0) -> Contrast:
        """Hide frames of each utterance as its seed says, and compare."""
        lens = self.network.config.num_encoder_frames(prepared.lens, self.spec).tolist()
        drawn = draw(lens, prepared.names, self.mask, self.loss.num_negatives, seeds)
        return self.network.contrast(prepared.frames, prepared.lens, drawn.to(prepared.frames.device), step)

    def losses(self, prepared: Samples, step: int) -> Losses:
        """Nats a hidden frame, with the weighted others; the part `contrast_acc` is the share that is told apart."""
        found = self.contrast(prepared, self.seeds(prepared), step)
        count = found.hidden.sum()
        weight = self.network.config.quantizer.loss_weight
        mean = found.nats.sum() / count + weight * found.quantizer_loss + self.loss.feature_penalty * found.penalty
        whole = {"perplexity": found.perplexity, "quantizer": found.quantizer_loss, "penalty": found.penalty}
        parts = {name: value.detach() * count for name, value in whole.items()}
        parts.update(contrastive=found.nats.detach().sum(), contrast_acc=found.correct.sum())
        return Losses(mean.detach() * count, parts, count, found.nats.isfinite(), mean)
