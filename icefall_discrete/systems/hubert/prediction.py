"""What a trained HuBERT does with the cuts of a split: it finds units of hidden frames, always the same."""

from pathlib import Path
from typing import Iterable

import torch
from lhotse import CutSet

from icefall_discrete.data.cuts import field_name
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.units import UnitTargets
from icefall_discrete.data.units import WithUnits, with_units
from icefall_discrete.metrics.masked_codes import Recovered
from icefall_discrete.systems.hidden_frames import Look, MaskedCodePrediction, own_seeds, rows_of
from icefall_discrete.systems.hubert.network import Hubert
from icefall_discrete.systems.hubert.settings import TrainSettings
from icefall_discrete.systems.hubert.system import HubertSystem
from icefall_discrete.systems.prediction import Trained


class HubertPrediction(MaskedCodePrediction[TrainSettings, Hubert, UnitTargets]):
    """Units of hidden frames are looked for."""

    title = "HuBERT"
    doing = "Finding units"

    def look(self, trained: Trained[TrainSettings, Hubert, UnitTargets], device: torch.device, cuts: CutSet) -> Look:
        """See HiddenPrediction; the units lie beside what is heard, as in training."""
        place = Path(next(iter(cuts)).custom[field_name(trained.spec)].array.storage_path)
        folder = place.parent.parent / trained.settings.target.units
        known = {cut.id: cut for cut in with_units(cuts, folder, place.stem)}
        system = HubertSystem(trained.network, trained.settings, trained.spec).eval()
        completion = WithUnits(system.network.units)

        def find(batch: Batch) -> Iterable[Recovered]:
            whole = completion(CutSet.from_cuts([known[name] for name in batch["cut_ids"]]), dict(batch))
            prepared = system.prepare(whole, device)
            found = system.know(prepared, own_seeds(prepared.names))
            return rows_of(found.hidden, found.correct, found.nats)

        return find
