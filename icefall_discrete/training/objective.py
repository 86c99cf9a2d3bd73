"""The model and its losses as one module, so that one forward call (and one DistributedDataParallel) covers both."""

import dataclasses
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.data.bpe import TextEncoder
from icefall_discrete.data.dataset import OTHER_VIEW, batch_key
from icefall_discrete.losses.transducer_loss import LossConfig, transducer_losses
from icefall_discrete.spec import FeatureSpec


class ObjectiveOutput(NamedTuple):
    """total: scalar that is minimised, in nats summed over the batch; parts: its terms before weighting; frames: T' in
    all; finite: (N,) bool, whether the losses of an utterance are finite."""

    total: Tensor
    parts: Dict[str, Tensor]
    frames: Tensor
    finite: Tensor


@dataclasses.dataclass(frozen=True)
class ModelBatch:
    """What the model and its losses take: frames (N, T, K or D) with lens (N,), labels (N, U) with label_lens (N,).

    For CR-CTC frames and lens hold two views of each utterance, 2 N rows: the first view of all, then the second.
    """

    frames: Tensor
    frame_lens: Tensor
    labels: Tensor
    label_lens: Tensor


def pad_labels(rows: List[List[int]], pad: int) -> Tuple[Tensor, Tensor]:
    """Labels (N, U) int64 padded with `pad`, and their counts (N,)."""
    lens = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    labels = torch.full((len(rows), int(lens.max())), pad, dtype=torch.int64)
    for target, row in zip(labels, rows):
        target[: len(row)] = torch.tensor(row, dtype=torch.int64)
    return labels, lens


def to_model_batch(
    batch: Mapping[str, Any], spec: FeatureSpec, text_encoder: TextEncoder, device: torch.device
) -> ModelBatch:
    """Turn a batch of the loader (data/dataset.py) into tensors on `device`, its texts (and languages) into labels."""
    texts = batch["text"]
    rows = [text_encoder.labels_of(*pair) for pair in zip(texts, batch.get("languages", [None] * len(texts)))]
    labels, label_lens = pad_labels(rows, text_encoder.blank_id)
    frames, frame_lens = batch[batch_key(spec)], batch["frame_lens"]
    if OTHER_VIEW in batch:
        frames, frame_lens = torch.cat((frames, batch[OTHER_VIEW])), frame_lens.repeat(2)
    tensors = (frames, frame_lens, labels, label_lens)
    return ModelBatch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


class Objective(nn.Module):
    """Losses of a transducer for a batch.

    Args:
      model: the transducer. config: weights of the losses. backend: "k2" or "torch", resolved.
    """

    def __init__(self, model: nn.Module, config: LossConfig, backend: str) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.backend = backend

    def forward(
        self, frames: Tensor, frame_lens: Tensor, labels: Tensor, label_lens: Tensor, step: int
    ) -> ObjectiveOutput:
        """Encode and compare; `step` is the number of optimiser steps so far, on which warm-up weights depend."""
        encoded = self.model.encode(frames, frame_lens)
        losses = transducer_losses(self.model, encoded, labels, label_lens, self.config, self.backend)
        parts = {name: loss.sum() for name, loss in losses.per_utterance.items()}
        # Two views of an utterance are one utterance to the log.
        frames_in_all = encoded.lens[: len(labels)].sum()
        return ObjectiveOutput(losses.total(step), parts, frames_in_all, losses.finite_utterances())
