"""What a trained Discrete BERT does with the cuts of a split: it finds what is hidden of them, always the same."""

from typing import Iterable

import torch
from lhotse import CutSet

from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.metrics.masked_codes import Recovered
from icefall_discrete.systems.discrete_bert.network import DiscreteBert
from icefall_discrete.systems.discrete_bert.settings import TrainSettings
from icefall_discrete.systems.discrete_bert.system import DiscreteBertSystem, find_hidden
from icefall_discrete.systems.hidden_frames import Look, MaskedCodePrediction, own_seeds, rows_of
from icefall_discrete.systems.prediction import Trained


class DiscreteBertPrediction(MaskedCodePrediction[TrainSettings, DiscreteBert, CodeTargets]):
    """Hidden codes are looked for."""

    title = "Discrete BERT"
    doing = "Finding codes"

    def look(
        self, trained: Trained[TrainSettings, DiscreteBert, CodeTargets], device: torch.device, cuts: CutSet
    ) -> Look:
        """See HiddenPrediction."""
        network, masks = trained.network, trained.settings.mask
        system = DiscreteBertSystem(network, masks, trained.spec)

        def find(batch: Batch) -> Iterable[Recovered]:
            prepared = system.prepare(batch, device)
            found = find_hidden(network, prepared, masks, own_seeds(prepared.names))
            return rows_of(found.hidden, found.correct, found.nats)

        return find
