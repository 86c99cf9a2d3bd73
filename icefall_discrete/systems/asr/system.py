"""The recogniser as the training loop sees it: texts become labels, and the transducer's losses are added up."""

import dataclasses
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig, augment_frames, augment_views
from icefall_discrete.data.dataset import OTHER_VIEW, batch_key, padding_values
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.data.unlabelled import UNLABELLED
from icefall_discrete.losses.transducer_loss import LossConfig, loss_weights, transducer_losses
from icefall_discrete.nn.heads.contract import trained_heads
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.asr.dev_decoding import decode_dev
from icefall_discrete.systems.asr.own_labels import STATE as OWN_LABELS
from icefall_discrete.systems.asr.own_labels import OwnLabels, OwnLabelsConfig
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.training.system import Batch, Losses


@dataclasses.dataclass(frozen=True)
class ModelBatch:
    """What the model and its losses take: frames (N, T, K or D) with lens (N,), labels (N, U) with label_lens (N,).

    For CR-CTC frames and lens hold two views of each utterance, 2 N rows: the first view of all, then the second.
    is_taught: whether there are labels to learn.
    """

    frames: Tensor
    frame_lens: Tensor
    labels: Tensor
    label_lens: Tensor
    is_taught: bool = True


def _on(device: torch.device, frames: Tensor, frame_lens: Tensor, labels: Tensor, label_lens: Tensor) -> ModelBatch:
    """The tensors on a device."""
    tensors = (frames, frame_lens, labels, label_lens)
    first, second, third, fourth = (tensor.to(device, non_blocking=True) for tensor in tensors)
    return ModelBatch(first, second, third, fourth)


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
        self.epoch = 1
        self.own_labels: Optional[OwnLabels] = None
        self.augment = AugmentConfig(augment_prob=0.0)

    def labels_itself(self, config: OwnLabelsConfig, augment: AugmentConfig) -> None:
        """Batches without labels get those of own_labels.py; `augment` says how their frames are shown then."""
        self.own_labels, self.augment = OwnLabels(config, self.spec), augment

    @property
    def reads_weights(self) -> bool:
        """The one who labels does."""
        return self.own_labels is not None

    def begin_epoch(self, epoch: int) -> None:
        """Augmentation may start at a later epoch."""
        super().begin_epoch(epoch)
        self.epoch = epoch

    def before_step(self, step: int) -> None:
        """The one who labels follows."""
        if self.own_labels is not None:
            self.own_labels.follow(self.network)

    def noise_state(self) -> Dict[str, Any]:
        """And what it labelled itself."""
        own = {} if self.own_labels is None else {OWN_LABELS: self.own_labels.state_dict()}
        return {**super().noise_state(), **own}

    def load_noise_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `noise_state` gave."""
        super().load_noise_state(state)
        if self.own_labels is not None:
            self.own_labels.load_state_dict(state[OWN_LABELS])

    def prepare(self, batch: Batch, device: torch.device) -> ModelBatch:
        """Tensors on `device` of a batch of the loader (data/dataset.py), its texts (and languages) as labels."""
        if batch.get(UNLABELLED):
            return self._with_own_labels(batch, device)
        labels, label_lens = self.targets.collate(batch)
        frames, frame_lens = batch[batch_key(self.spec)], batch["frame_lens"]
        if OTHER_VIEW in batch:
            frames, frame_lens = torch.cat((frames, batch[OTHER_VIEW])), frame_lens.repeat(2)
        return _on(device, frames, frame_lens, labels, label_lens)

    def _with_own_labels(self, batch: Batch, device: torch.device) -> ModelBatch:
        """A batch without transcripts as `losses` takes it, or another one in its place."""
        assert self.own_labels is not None
        found = self.own_labels.draw(batch, self.network)
        if found is None:
            none = torch.zeros(len(batch["cut_ids"]), dtype=torch.int64, device=device)
            frames, lens = batch[batch_key(self.spec)].to(device), batch["frame_lens"].to(device)
            return ModelBatch(frames, lens, none[:, None], none, is_taught=False)
        shown: Tuple[Tensor, ...] = (found.frames,) * (2 if self.config.cr_loss_scale > 0 else 1)
        if self.augment.is_on(self.epoch):
            generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            values, rate = padding_values(self.spec), self.spec.frame_rate_hz
            of_all = (found.frames, found.frame_lens, values, rate, self.augment, generator)
            shown = augment_views(*of_all) if len(shown) > 1 else (augment_frames(*of_all),)
        lens = found.frame_lens.repeat(len(shown))
        return _on(device, torch.cat(shown), lens, found.labels, found.label_lens)

    def losses(self, prepared: ModelBatch, step: int) -> Losses:
        """Encode and compare; warm-up weights depend on `step`."""
        if not prepared.is_taught:
            learnt = [value.sum() for value in self.network.parameters() if value.requires_grad]
            zero = torch.stack(learnt).sum() * 0.0
            # The same parts as ever: processes that train together add theirs up by name.
            scales = loss_weights(self.config, 0)
            parts = {name: zero.detach() for name, scale in scales.items() if scale or name == "cr"}
            fine = torch.ones_like(prepared.label_lens, dtype=torch.bool)
            return Losses(zero, parts, prepared.frame_lens.sum(), fine)
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
