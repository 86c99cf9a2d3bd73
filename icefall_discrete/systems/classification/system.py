"""The classifier as the training loop sees it."""

from typing import Dict, Iterable, List, NamedTuple, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.data.targets.classes import ClassTargets
from icefall_discrete.losses.class_loss import ClassLossConfig, class_losses
from icefall_discrete.metrics.classification import accuracy, balanced_accuracy
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.classification.network import Classifier
from icefall_discrete.training.system import Batch, Losses


class ModelBatch(NamedTuple):
    """Frames (N, T, K or D) with lens (N,), and the numbers (N,) of the classes."""

    frames: Tensor
    frame_lens: Tensor
    classes: Tensor


@torch.no_grad()
def predicted_classes(network: Classifier, batch: Batch, spec: FeatureSpec) -> Tuple[List[int], List[float]]:
    """The class of each utterance of a batch that is most probable, and its probability; evaluation mode."""
    device = next(network.parameters()).device
    logits = network.classify(batch[batch_key(spec)].to(device), batch["frame_lens"].to(device))
    best = logits.float().softmax(dim=1).max(dim=1)
    return best.indices.tolist(), best.values.tolist()


class ClassificationSystem(AcousticSystem[ModelBatch]):
    """A classifier and its loss.

    Args:
      network: the classifier. config: of the loss. spec: of the frames. targets: the classes.
    """

    network: Classifier

    def __init__(self, network: Classifier, config: ClassLossConfig, spec: FeatureSpec, targets: ClassTargets) -> None:
        super().__init__(network, spec)
        self.config = config
        self.targets = targets

    def prepare(self, batch: Batch, device: torch.device) -> ModelBatch:
        """Tensors on `device` of a batch of the loader (data/dataset.py)."""
        tensors = (batch[batch_key(self.spec)], batch["frame_lens"], self.targets.collate(batch))
        return ModelBatch(*(tensor.to(device, non_blocking=True) for tensor in tensors))

    def losses(self, prepared: ModelBatch, step: int) -> Losses:
        """Cross-entropy; the log divides by utterances."""
        found = class_losses(self.network.classify(*prepared[:2]), prepared.classes, self.config)
        num = torch.tensor(float(len(prepared.classes)))
        return Losses(found.sum(), {"cross_entropy": found.detach().sum()}, num, found.isfinite())

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """{"dev_accuracy", "dev_balanced_accuracy"} in percent."""
        names, pairs = self.targets.names, []
        for batch in batches:
            true = self.targets.collate(batch).tolist()
            found, _ = predicted_classes(self.network, batch, self.spec)
            pairs += [(names[one], names[other]) for one, other in zip(true, found)]
        return {"dev_accuracy": accuracy(pairs), "dev_balanced_accuracy": balanced_accuracy(pairs)} if pairs else {}
