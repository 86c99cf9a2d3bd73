"""What a trained wav2vec 2.0 does with the cuts of a split: it tells hidden frames from others, always the same."""

from typing import Dict, Iterable

import torch
from lhotse import CutSet

from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.metrics.contrast import contrast_figures
from icefall_discrete.metrics.masked_codes import Recovered
from icefall_discrete.systems.hidden_frames import HiddenPrediction, Look, own_seeds, rows_of
from icefall_discrete.systems.prediction import Json, Trained
from icefall_discrete.systems.wav2vec2.network import Wav2Vec2
from icefall_discrete.systems.wav2vec2.settings import TrainSettings
from icefall_discrete.systems.wav2vec2.system import Wav2Vec2System


class Wav2Vec2Prediction(HiddenPrediction[TrainSettings, Wav2Vec2, CodeTargets]):
    """Hidden frames are told from others."""

    folder = "contrast"
    title = "wav2vec 2.0"
    doing = "Comparing frames"

    def look(self, trained: Trained[TrainSettings, Wav2Vec2, CodeTargets], device: torch.device, cuts: CutSet) -> Look:
        """See HiddenPrediction."""
        system = Wav2Vec2System(trained.network, trained.settings, trained.spec).eval()

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
            f"{scored['contrast_errors']['rate']:.2f} % of the hidden frames are taken for others, "
            f"{scored['contrast_loss']['value']:.3f} nats"
        )
