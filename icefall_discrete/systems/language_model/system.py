"""A neural language model as the training loop sees it: sentences of labels, each label predicted from those before."""

from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import from_dict
from icefall_discrete.lm.neural import MODELS, NeuralLmConfig
from icefall_discrete.text.pieces import BLANK_ID, SOS_EOS_ID
from icefall_discrete.training.fit_folder import SYSTEM, read_system
from icefall_discrete.training.system import Batch, Losses, System

# Of a sentence so many labels are its name in messages.
_LABELS_SHOWN = 8


def batches_of(sentences: Sequence[Sequence[int]], batch_labels: int) -> List[Tensor]:
    """Sentences of similar length, padded with blank to (N, U); at most `batch_labels` labels, or one sentence."""
    batches: List[Tensor] = []
    group: List[Sequence[int]] = []
    for sentence in sorted(sentences, key=lambda labels: (len(labels), labels)):
        if group and (len(group) + 1) * (len(sentence) + 1) > batch_labels:
            batches.append(_padded(group))
            group = []
        group.append(sentence)
    return batches + ([_padded(group)] if group else [])


def _padded(group: Sequence[Sequence[int]]) -> Tensor:
    longest = max(len(labels) for labels in group)
    return torch.tensor([[*labels, *[BLANK_ID] * (longest - len(labels))] for labels in group], dtype=torch.int64)


def count_labels(labels: Tensor) -> int:
    """Labels (N, U) padded with blank that are predicted; the end of each sentence is one."""
    return int((labels != BLANK_ID).sum()) + len(labels)


def as_batch(labels: Tensor, shuffle: Optional[Tuple[int, int]] = None) -> Batch:
    """A batch of the loop.

    Args:
      labels: (N, U), padded with blank. shuffle: for the first batch of an epoch, the seed and the number of batches of
        the shuffle whose random numbers dropout goes on with.
    """
    rows = [[str(label) for label in row if label != BLANK_ID] for row in labels.tolist()]
    names = [" ".join(row[:_LABELS_SHOWN]) + (" ..." if len(row) > _LABELS_SHOWN else "") for row in rows]
    return {"cut_ids": [f"of labels {name}" for name in names], "labels": labels, "shuffle": shuffle}


def sentence_losses(model: nn.Module, labels: Tensor) -> Tuple[Tensor, int]:
    """Nats lost, summed, over labels (N, U) padded with blank and the ends of sentences; how many these are."""
    edge = labels.new_full((len(labels), 1), SOS_EOS_ID)
    lens = (labels != BLANK_ID).sum(dim=1)
    targets = torch.cat([labels, torch.full_like(edge, BLANK_ID)], dim=1).scatter(1, lens.unsqueeze(1), SOS_EOS_ID)
    logits = model(torch.cat([edge, labels], dim=1))
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=BLANK_ID, reduction="sum")
    return losses, count_labels(labels)


class Sentences(NamedTuple):
    """labels (N, U), padded with blank; shuffle: see as_batch."""

    labels: Tensor
    shuffle: Optional[Tuple[int, int]]


class LanguageModelSystem(System[Sentences]):
    """A model and the mean cross-entropy of a label."""

    if_not_finite = "lower --lm-lr, and train in another --lm-dir"
    if_too_large = "lower --lm-batch-labels"

    def prepare(self, batch: Batch, device: torch.device) -> Sentences:
        """Labels on `device`."""
        return Sentences(batch["labels"].to(device), batch["shuffle"])

    def losses(self, prepared: Sentences, step: int) -> Losses:
        """Nats a label; dropout depends on the epoch and the batches before."""
        if prepared.shuffle is not None:
            seed, num_batches = prepared.shuffle
            torch.manual_seed(seed)
            torch.randperm(num_batches)
        total, count = sentence_losses(self.network, prepared.labels)
        finite = total.isfinite().expand(len(prepared.labels))
        return Losses(total.detach(), {}, torch.tensor(count), finite, total / count)


def build(settings: Mapping[str, Any], where: str) -> LanguageModelSystem:
    """A system with fresh weights.

    Args:
      settings: lm_type (lstm or transformer), vocab_size (V) and model, the shape. where: names them in errors.
    """
    shape = from_dict(NeuralLmConfig, settings["model"], where)
    return LanguageModelSystem(MODELS[settings["lm_type"]](shape, settings["vocab_size"]))


def from_folder(folder: Path) -> LanguageModelSystem:
    """The system of a training, with fresh weights, to do a step of it again."""
    return build(read_system(folder).settings, str(folder / SYSTEM))
