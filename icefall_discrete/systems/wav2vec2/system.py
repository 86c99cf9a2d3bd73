"""wav2vec 2.0 as the training loop sees it."""

import abc
from typing import Dict, Iterable, List, NamedTuple, Protocol

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.hidden_frames import own_seeds
from icefall_discrete.systems.wav2vec2.negatives import draw
from icefall_discrete.systems.wav2vec2.network import Contrast, Wav2Vec2
from icefall_discrete.systems.wav2vec2.settings import TrainSettings
from icefall_discrete.training.system import Batch, Losses


class Samples(NamedTuple):
    """Frames of samples (N, T, F) with lens (N,), on the device; names of the utterances."""

    frames: Tensor
    lens: Tensor
    names: List[str]


class Told(Protocol):
    """Of each utterance (N,): nats lost over its hidden frames, hidden frames, those told from all their negatives."""

    @property
    def nats(self) -> Tensor:
        """Nats lost over its hidden frames."""

    @property
    def hidden(self) -> Tensor:
        """Its hidden frames."""

    @property
    def correct(self) -> Tensor:
        """Those that were told from all of their negatives."""


class ContrastSystem(AcousticSystem[Samples]):
    """A network that tells hidden frames from others: other ones at every step of training, for figures always the
    same of an utterance."""

    def prepare(self, batch: Batch, device: torch.device) -> Samples:
        """Tensors on `device` of a batch of the loader (data/dataset.py)."""
        frames, lens = (batch[name].to(device, non_blocking=True) for name in (batch_key(self.spec), "frame_lens"))
        return Samples(frames, lens, list(batch["cut_ids"]))

    @abc.abstractmethod
    def contrast(self, prepared: Samples, seeds: List[int]) -> Told:
        """Hide frames of each utterance as its seed says, and compare."""

    def seeds(self, prepared: Samples) -> List[int]:
        """Those of a step."""
        names = prepared.names
        return torch.randint(2**31, (len(names),)).tolist() if self.training else own_seeds(names)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Hidden frames that are taken for another, in percent: {"dev_contrast_errors"}."""
        device = next(self.network.parameters()).device
        correct = count = 0.0
        with torch.no_grad():
            for batch in batches:
                prepared = self.prepare(batch, device)
                found = self.contrast(prepared, own_seeds(prepared.names))
                correct, count = correct + float(found.correct.sum()), count + float(found.hidden.sum())
        return {"dev_contrast_errors": 100.0 * (1.0 - correct / count)} if count else {}


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
