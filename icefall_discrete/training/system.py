"""What the loop trains, and all that the loop knows of it.

A system is a network with its losses. The loop (trainer.py) never looks inside: batches come from the system's own
data, `prepare` moves one to the device, `losses` compares, `figures` measures. One loop serves recognisers, codecs,
language models and whatever else is a folder in systems/.
"""

import abc
from typing import Any, Dict, Generic, Iterable, Mapping, NamedTuple, Optional, TypeVar

import torch
from torch import Tensor, nn

from icefall_discrete.training.opponents import Opponents

# What a loader gives: what a checkpoint can hold. The loop itself reads "cut_ids" (a list of N names) and, where the
# data does not say how to count a batch, "duration_sec" (N,), seconds of audio.
Batch = Mapping[str, Any]
Prepared = TypeVar("Prepared")


class Losses(NamedTuple):
    """Losses of a batch.

    total: scalar that is minimised, summed over the batch (in nats). parts: its terms before weighting, by name,
    detached and summed likewise. frames: scalar, the frames (or labels) that the log divides by. finite: (N,) bool,
    whether the losses of an utterance are finite. mean: a scalar that is minimised instead of `total`, for systems
    whose gradients are of the mean over `frames`; over several batches of a step, or processes, the mean of theirs.
    """

    total: Tensor
    parts: Dict[str, Tensor]
    frames: Tensor
    finite: Tensor
    mean: Optional[Tensor] = None

    def objective(self, world_size: int = 1, num_batches: int = 1) -> Tensor:
        """What to differentiate where gradients are added over batches, and averaged over `world_size` processes."""
        return self.total * world_size if self.mean is None else self.mean / num_batches


class System(nn.Module, abc.ABC, Generic[Prepared]):
    """A network and its losses as one module, so that one call (and one DistributedDataParallel) covers both.

    Args:
      network: holds all weights that are learnt; checkpoints keep its state dict.
    """

    # What a person may do, ends of sentences: about losses that are not finite, and about batches that do not fit.
    if_not_finite = "look at those cuts, or lower the learning rate and train anew"
    if_too_large = "make the batches smaller"
    # What is trained against the network, for systems that have such a phase.
    opponents: Optional[Opponents] = None

    @property
    def reads_weights(self) -> bool:
        """Whether something beside the losses and figures needs the network's weights in training."""
        return False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abc.abstractmethod
    def prepare(self, batch: Batch, device: torch.device) -> Prepared:
        """Tensors on `device` from a batch of the loader, as `losses` takes them."""

    @abc.abstractmethod
    def losses(self, prepared: Prepared, step: int) -> Losses:
        """Compare the network's output with its targets; `step` counts the optimiser steps so far."""

    def forward(self, prepared: Prepared, step: int) -> Losses:
        """The losses: what DistributedDataParallel calls."""
        return self.losses(prepared, step)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Measures on held-out batches besides the losses, by name, such as {"dev_wer": 42.0}; evaluation mode."""
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Told before each epoch (from 1)."""

    def before_step(self, step: int) -> None:
        """Told before each step, with the number of those done; nothing is recorded for gradients here."""

    def set_batch_count(self, batch_count: float) -> None:
        """Told before each step how much was trained, in reference batches: schedules inside the network follow it."""

    def noise_state(self) -> Dict[str, Any]:
        """What decides about the noise of the next step besides the random generators: plain values."""
        return {}

    def load_noise_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `noise_state` gave."""
