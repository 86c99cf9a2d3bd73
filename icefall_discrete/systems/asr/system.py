"""The recogniser as the training loop sees it: texts become labels, and the transducer's losses are added up."""

import dataclasses
from typing import Dict, Iterable

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import OTHER_VIEW, batch_key
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.losses.transducer_loss import LossConfig, transducer_losses
from icefall_discrete.nn.heads.contract import trained_heads
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.asr.dev_decoding import decode_dev
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.training.system import Batch, Losses


@dataclasses.dataclass(frozen=True)
class ModelBatch:
    """What the model and its losses take: frames (N, T, K or D) with lens (N,), labels (N, U) with label_lens (N,).

    For CR-CTC frames and lens hold two views of each utterance, 2 N rows: the first view of all, then the second.
    """

    frames: Tensor
    frame_lens: Tensor
    labels: Tensor
    label_lens: Tensor


class AsrSystem(AcousticSystem[ModelBatch]):
    """A transducer and its losses.

    Args:
      network: the transducer. config: weights of the losses. spec: of the frames. targets: the labels.
      backend: "k2" or "torch", resolved. dev_utterances: how many utterances `figures` decodes.
    """

    network: Transducer

    def __init__(
        self,
        network: Transducer,
        config: LossConfig,
        spec: FeatureSpec,
        targets: PieceTargets,
        backend: str,
        dev_utterances: int = 0,
    ) -> None:
        super().__init__(network, spec)
        self.config = config
        self.targets = targets
        self.backend = backend
        self.dev_utterances = dev_utterances

    def prepare(self, batch: Batch, device: torch.device) -> ModelBatch:
        """Tensors on `device` of a batch of the loader (data/dataset.py), its texts (and languages) as labels."""
        labels, label_lens = self.targets.collate(batch)
        frames, frame_lens = batch[batch_key(self.spec)], batch["frame_lens"]
        if OTHER_VIEW in batch:
            frames, frame_lens = torch.cat((frames, batch[OTHER_VIEW])), frame_lens.repeat(2)
        tensors = (frames, frame_lens, labels, label_lens)
        return ModelBatch(*(tensor.to(device, non_blocking=True) for tensor in tensors))

    def losses(self, prepared: ModelBatch, step: int) -> Losses:
        """Encode and compare; warm-up weights depend on `step`."""
        encoded = self.network.encode(prepared.frames, prepared.frame_lens)
        found = transducer_losses(
            trained_heads(self.network), encoded, prepared.labels, prepared.label_lens, self.config, self.backend
        )
        parts = {name: loss.sum() for name, loss in found.per_utterance.items()}
        # Two views of an utterance are one utterance to the log.
        frames_in_all = encoded.lens[: len(prepared.labels)].sum()
        return Losses(found.total(step), parts, frames_in_all, found.finite_utterances())

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Error rates of greedy search on some dev utterances, in percent: {"dev_wer", "dev_cer"}."""
        return decode_dev(self.network, batches, self.spec, self.targets.text_encoder, self.dev_utterances)
