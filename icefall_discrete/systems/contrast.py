"""What systems that tell frames from others have in common: before the training loop, and with the cuts of a split."""

import abc
from typing import ClassVar, Dict, Iterable, List, NamedTuple, Protocol

import torch
from lhotse import CutSet
from torch import Tensor

from icefall_discrete.data.dataset import batch_key
from icefall_discrete.metrics.contrast import contrast_figures
from icefall_discrete.metrics.masked_codes import Recovered
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.hidden_frames import (
    HiddenPrediction,
    Look,
    Sought,
    errors_in,
    own_seeds,
    rows_of,
    seeds_of,
)
from icefall_discrete.systems.prediction import Json, N, S, T, Trained
from icefall_discrete.training.system import Batch


class Samples(NamedTuple):
    """Frames of samples (N, T, F) with lens (N,), on the device; names of the utterances."""

    frames: Tensor
    lens: Tensor
    names: List[str]


class Told(Sought, Protocol):
    """Of each utterance (N,), whose hidden frames are found if they are told from all their negatives."""

    @property
    def nats(self) -> Tensor:
        """Nats lost over its hidden frames."""


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
        return seeds_of(prepared.names, self.training)

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """Hidden frames that are taken for another, in percent: {"dev_contrast_errors"}."""
        return errors_in(
            "dev_contrast_errors", self, batches, lambda heard: self.contrast(heard, own_seeds(heard.names))
        )


class ContrastPrediction(HiddenPrediction[S, N, T]):
    """Frames are told from others.

    Class attributes a subclass may set:
      looked_for: what the frames are called.
    """

    folder = "contrast"
    doing = "Comparing frames"
    looked_for: ClassVar[str] = "hidden frames"

    @abc.abstractmethod
    def system(self, trained: Trained[S, N, T]) -> ContrastSystem:
        """The network as it compares."""

    def look(self, trained: Trained[S, N, T], device: torch.device, cuts: CutSet) -> Look:
        """See HiddenPrediction."""
        system = self.system(trained).eval()

        def compare(batch: Batch) -> Iterable[Recovered]:
            prepared = system.prepare(batch, device)
            found = system.contrast(prepared, own_seeds(prepared.names))
            return rows_of(found.hidden, found.correct, found.nats)

        return compare

    def measured(self, lines: Iterable[Recovered]) -> Dict[str, Dict[str, float]]:
        """See HiddenPrediction."""
        return contrast_figures(lines)

    def told(self, scored: Json) -> str:
        """See HiddenPrediction."""
        return (
            f"{scored['contrast_errors']['rate']:.2f} % of the {self.looked_for} are taken for others, "
            f"{scored['contrast_loss']['value']:.3f} nats"
        )
