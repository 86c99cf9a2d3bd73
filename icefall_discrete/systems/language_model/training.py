"""Training of a neural language model; an interrupted training goes on after the last whole epoch."""

import dataclasses
import logging
import math
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.base.settings import setting
from icefall_discrete.lm.folder import WEIGHTS
from icefall_discrete.lm.neural import MODELS, NeuralLmConfig
from icefall_discrete.text.pieces import BLANK_ID, SOS_EOS_ID

LOG = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
# Weight decay and clipping as usual for models of this size; the rest is settings.
_WEIGHT_DECAY, _MAX_GRAD_NORM = 0.01, 1.0


@dataclasses.dataclass(frozen=True)
class NeuralTrainConfig:
    """How a neural language model is trained."""

    lm_num_epochs: int = setting(20, "most epochs")
    lm_patience: int = setting(3, "stop after this many epochs without a better dev perplexity")
    lm_lr: float = setting(0.002, "largest learning rate (AdamW)")
    lm_warmup_batches: int = setting(100, "batches until it is reached; it then falls with the root of the batches")
    lm_batch_labels: int = setting(1000, "labels in a batch, padding included")
    lm_seed: int = setting(42, "of the initial weights, the order of the text and dropout")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0 and field.name != "lm_seed":
                raise ValueError(f"{field.name} is {getattr(self, field.name)}, expected more than 0.")


def batches_of(sentences: Sequence[Sequence[int]], batch_labels: int) -> List[Tensor]:
    """Sentences of similar length, padded with blank to (N, U); at most `batch_labels` labels, or one sentence."""
    batches, group = [], []
    for sentence in sorted(sentences, key=lambda labels: (len(labels), labels)):
        if group and (len(group) + 1) * (len(sentence) + 1) > batch_labels:
            batches.append(_padded(group))
            group = []
        group.append(sentence)
    return batches + ([_padded(group)] if group else [])


def _padded(group: Sequence[Sequence[int]]) -> Tensor:
    longest = max(len(labels) for labels in group)
    return torch.tensor([[*labels, *[BLANK_ID] * (longest - len(labels))] for labels in group], dtype=torch.int64)


def sentence_losses(model: nn.Module, labels: Tensor) -> Tuple[Tensor, int]:
    """Nats lost, summed, over labels (N, U) padded with blank and the ends of sentences; how many these are."""
    edge = labels.new_full((len(labels), 1), SOS_EOS_ID)
    lens = (labels != BLANK_ID).sum(dim=1)
    targets = torch.cat([labels, torch.full_like(edge, BLANK_ID)], dim=1).scatter(1, lens.unsqueeze(1), SOS_EOS_ID)
    logits = model(torch.cat([edge, labels], dim=1))
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=BLANK_ID, reduction="sum")
    return losses, int(lens.sum()) + len(labels)


@torch.no_grad()
def neural_perplexity(model: nn.Module, sentences: Sequence[Sequence[int]], batch_labels: int = 4000) -> float:
    """exp of the mean negative log-probability of a label; the end of each sentence counts as one."""
    model.eval()
    device = next(model.parameters()).device
    found = [sentence_losses(model, batch.to(device)) for batch in batches_of(sentences, batch_labels)]
    return math.exp(sum(loss.item() for loss, _ in found) / sum(count for _, count in found))


class NeuralLmTrainer:
    """Trains a model on sentences and keeps the weights that are best on others.

    Args:
      lm_type: lstm or transformer. shape: of the model. config: of the training. vocab_size: V.
      folder: for model.safetensors (the best weights) and checkpoint.pt (to go on from). device: to train on.
    """

    def __init__(
        self,
        lm_type: str,
        shape: NeuralLmConfig,
        config: NeuralTrainConfig,
        vocab_size: int,
        folder: Path,
        device: torch.device,
    ) -> None:
        self._config, self._folder, self._device = config, Path(folder), device
        torch.manual_seed(config.lm_seed)
        self._model = MODELS[lm_type](shape, vocab_size).to(device)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=config.lm_lr, weight_decay=_WEIGHT_DECAY)
        self._progress: Dict[str, Any] = {"epoch": 0, "batch": 0, "perplexities": []}

    def fit(self, train: Sequence[Sequence[int]], dev: Sequence[Sequence[int]]) -> Dict[str, Any]:
        """Train until epochs or patience are used up; returns the best dev perplexity and those of all epochs."""
        batches = batches_of(train, self._config.lm_batch_labels)
        self._load()
        while not self._is_done():
            epoch = self._progress["epoch"] + 1
            loss = self._train_epoch(batches, epoch)
            perplexity = neural_perplexity(self._model, dev)
            perplexities = [*self._progress["perplexities"], perplexity]
            self._progress = {**self._progress, "epoch": epoch, "perplexities": perplexities}
            LOG.info(f"Epoch {epoch}: train perplexity {math.exp(loss):.2f}, dev perplexity {perplexity:.2f}")
            if perplexity == min(perplexities):
                with replacing(self._folder / WEIGHTS) as temporary:
                    weights = {name: value.cpu().contiguous() for name, value in self._model.state_dict().items()}
                    save_file(weights, str(temporary))
            self._save()
        perplexities = self._progress["perplexities"]
        return {"dev_perplexity": min(perplexities), "epoch_perplexities": perplexities}

    def _is_done(self) -> bool:
        perplexities = self._progress["perplexities"]
        since_best = len(perplexities) - 1 - perplexities.index(min(perplexities)) if perplexities else 0
        return len(perplexities) >= self._config.lm_num_epochs or since_best >= self._config.lm_patience

    def _train_epoch(self, batches: Sequence[Tensor], epoch: int) -> float:
        """Mean loss of a label over an epoch."""
        # The order and the dropout depend on the epoch only, so that a training that goes on is the same training.
        torch.manual_seed(self._config.lm_seed + epoch)
        self._model.train()
        total, count = 0.0, 0
        for index in torch.randperm(len(batches)).tolist():
            loss, labels = sentence_losses(self._model, batches[index].to(self._device))
            self._progress["batch"] += 1
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate(self._progress["batch"])
            self._optimizer.zero_grad()
            (loss / labels).backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), _MAX_GRAD_NORM)
            self._optimizer.step()
            total, count = total + loss.item(), count + labels
        return total / count

    def _rate(self, batch: int) -> float:
        warmup = self._config.lm_warmup_batches
        return self._config.lm_lr * min(batch / warmup, (warmup / batch) ** 0.5)

    def _save(self) -> None:
        state = {"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict(), **self._progress}
        save_checkpoint(self._folder / CHECKPOINT, state)

    def _load(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return
        state = load_checkpoint(path)
        self._model.load_state_dict(state.pop("model"))
        self._optimizer.load_state_dict(state.pop("optimizer"))
        self._progress = state
        LOG.info(f"Going on after epoch {state['epoch']}")
