"""What a trained wav2vec 2.0 does with the cuts of a split: it tells hidden frames from others, always the same."""

import abc
from typing import ClassVar, Dict, Iterable

import torch
from lhotse import CutSet

from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.metrics.contrast import contrast_figures
from icefall_discrete.metrics.masked_codes import Recovered
from icefall_discrete.systems.hidden_frames import HiddenPrediction, Look, own_seeds, rows_of
from icefall_discrete.systems.prediction import Json, N, S, T, Trained
from icefall_discrete.systems.wav2vec2.network import Wav2Vec2
from icefall_discrete.systems.wav2vec2.settings import TrainSettings
from icefall_discrete.systems.wav2vec2.system import ContrastSystem, Wav2Vec2System


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


class Wav2Vec2Prediction(ContrastPrediction[TrainSettings, Wav2Vec2, CodeTargets]):
    """Hidden frames of samples are told from others."""

    title = "wav2vec 2.0"

    def system(self, trained: Trained[TrainSettings, Wav2Vec2, CodeTargets]) -> Wav2Vec2System:
        """See ContrastPrediction."""
        return Wav2Vec2System(trained.network, trained.settings, trained.spec)
