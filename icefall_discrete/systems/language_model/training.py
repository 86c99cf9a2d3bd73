"""Training of a neural language model; the weights of the epoch with the least dev perplexity are kept."""

import dataclasses
import logging
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.settings import LARGEST_SEED, check_settings, setting
from icefall_discrete.base.tensor_files import write_tensors
from icefall_discrete.lm.folder import WEIGHTS
from icefall_discrete.systems.language_model.system import as_batch, batches_of, build, count_labels
from icefall_discrete.training.averages import epoch_path
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.fit_folder import TRAINING_DIR, FitFolder, refuse_former, write_system
from icefall_discrete.training.optimization import RateSchedule
from icefall_discrete.training.system import Batch
from icefall_discrete.training.train_config import TrainConfig
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import LABELS, TrainingData

LOG = logging.getLogger(__name__)
SYSTEM_NAME = "language_model"
# What earlier versions went on from.
FORMER_CHECKPOINT = "checkpoint.pt"
# Weight decay and clipping as usual for models of this size; the rest is settings.
_WEIGHT_DECAY, _MAX_GRAD_NORM = 0.01, 1.0
_DEV_BATCH_LABELS = 4000

Labels = Sequence[Sequence[int]]


@dataclasses.dataclass(frozen=True)
class NeuralTrainConfig:
    """How a neural language model is trained."""

    lm_num_epochs: int = setting(20, "most epochs", minimum=1)
    lm_patience: int = setting(3, "stop after this many epochs without a better dev perplexity", minimum=1)
    lm_lr: float = setting(0.002, "largest learning rate (AdamW)", above=0)
    lm_warmup_batches: int = setting(
        100, "batches until it is reached; it then falls with the root of the batches", minimum=1
    )
    lm_batch_labels: int = setting(1000, "labels in a batch, padding included", minimum=1)
    lm_seed: int = setting(
        42, "of the initial weights, the order of the text and dropout", minimum=0, maximum=LARGEST_SEED
    )

    def __post_init__(self) -> None:
        check_settings(self)


def loop_settings(config: NeuralTrainConfig) -> TrainConfig:
    """The settings of the loop."""
    return TrainConfig(
        num_epochs=config.lm_num_epochs,
        patience=config.lm_patience,
        max_grad_norm=_MAX_GRAD_NORM,
        seed=config.lm_seed,
        keep_last_k=1,
        keep_epochs=1,
        max_bad_batches=0,
        try_largest_batches=False,
    )


def learning_rate(batch: int, config: NeuralTrainConfig) -> float:
    """Rate of batch 1, 2, ...: a linear rise over the warm-up, then a fall with the root of the batches."""
    warmup = config.lm_warmup_batches
    return config.lm_lr * min(batch / warmup, (warmup / batch) ** 0.5)


def shuffled(batches: Sequence[Tensor], seed: int, start: int) -> Iterator[Batch]:
    """Batches of labels (N, U) in an order that depends on `seed` only, without the first `start`."""
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed)).tolist()
    for place in range(start, len(order)):
        yield as_batch(batches[order[place]], (seed, len(order)) if place == 0 else None)


def training_data(train: Labels, dev: Labels, config: NeuralTrainConfig) -> TrainingData:
    """Batches for the loop; order and dropout of an epoch depend on the seed and its number."""
    batches, dev_batches = batches_of(train, config.lm_batch_labels), batches_of(dev, _DEV_BATCH_LABELS)
    return TrainingData(
        train_batches=lambda epoch, start: shuffled(batches, config.lm_seed + epoch, start),
        epoch_amount=sum(map(count_labels, batches)),
        valid_batches=lambda: map(as_batch, dev_batches),
        amount_of=lambda batch: count_labels(batch["labels"]),
        unit=LABELS,
    )


class NeuralLmTraining:
    """Trains a model on sentences and keeps the weights that are best on others.

    Args:
      settings: of the model: lm_type (lstm or transformer), vocab_size (V) and model, its shape. config: of the
        training. folder: for model.safetensors (the best weights); a training that was interrupted goes on from
        `training` in it. device: to train on.
    """

    def __init__(
        self, settings: Mapping[str, Any], config: NeuralTrainConfig, folder: Path, device: torch.device
    ) -> None:
        self._settings, self._config, self._device = settings, config, device
        self._lm_dir = Path(folder)
        self._folder = FitFolder(self._lm_dir / TRAINING_DIR, str(settings["lm_type"]))

    def fit(self, train: Labels, dev: Labels) -> Dict[str, Any]:
        """Train until epochs or patience are used up; returns the best dev perplexity and those of all epochs.

        Raises:
          ValueError: if an earlier version began the training. RuntimeError: if losses are not finite.
        """
        refuse_former(self._lm_dir / FORMER_CHECKPOINT)
        write_system(self._folder.path, SYSTEM_NAME, self._settings)
        with self._folder.logged():
            torch.manual_seed(self._config.lm_seed)
            system = build(self._settings, str(self._lm_dir)).to(self._device)
            optimizer = torch.optim.AdamW(
                system.network.parameters(), lr=self._config.lm_lr, weight_decay=_WEIGHT_DECAY
            )
            schedule = RateSchedule(optimizer, lambda step: learning_rate(step, self._config))
            facts = {"system": SYSTEM_NAME, "lm_type": self._settings["lm_type"], "sentences": len(train)}
            trainer = Trainer(
                system, optimizer, schedule, loop_settings(self._config), self._folder.path, Group(), facts
            )
            summary = trainer.fit(training_data(train, dev, self._config))
        best = summary["best_valid_epoch"]
        if best is None:
            raise RuntimeError(f"no dev perplexity is finite; {system.if_not_finite}.")
        weights = load_checkpoint(epoch_path(self._folder.path, best))["model"]
        write_tensors(self._lm_dir / WEIGHTS, weights)
        perplexities: List[float] = [math.exp(record["valid"]["loss"]) for record in summary["epochs"]]
        shown = ", ".join(f"{perplexity:.2f}" for perplexity in perplexities)
        LOG.info(f"Dev perplexities of the epochs: {shown}; the weights are those of epoch {best}")
        return {"dev_perplexity": perplexities[best - 1], "epoch_perplexities": perplexities}

    def finish(self) -> None:
        """Remove what served to go on: all that is made is written."""
        self._folder.finish()
