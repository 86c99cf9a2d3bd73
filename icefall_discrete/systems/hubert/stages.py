"""What HuBERT offers to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Completion
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.units import UnitTargets
from icefall_discrete.data.units import WithUnits, spec_of_units, with_units
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.hubert.network import Hubert, build_hubert
from icefall_discrete.systems.hubert.prediction import HubertPrediction
from icefall_discrete.systems.hubert.settings import TrainSettings
from icefall_discrete.systems.hubert.system import HubertSystem


class HubertStages(SystemStages[TrainSettings, Hubert, UnitTargets]):
    """An encoder of samples or features that learns to know units of hidden frames."""

    settings = TrainSettings
    prediction = HubertPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> UnitTargets:
        """The units. Raises ValueError if the cuts are read from Shar."""
        if isinstance(train, SharSource):
            raise ValueError("Shar holds what is heard only, not its units; train from the manifest.")
        return UnitTargets(spec_of_units(train))

    def load_targets(self, exp_dir: Path) -> UnitTargets:
        """The units of the experiment."""
        return UnitTargets.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: UnitTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Hubert:
        """The network."""
        return build_hubert(settings.model, spec, targets.spec, codebooks)

    def system(
        self, network: Hubert, settings: TrainSettings, spec: FeatureSpec, targets: UnitTargets, backend: str
    ) -> HubertSystem:
        """The network and its loss."""
        return HubertSystem(network, settings, spec)

    def with_more(
        self, settings: TrainSettings, cuts: CutSet, spec: FeatureSpec, feature_dir: Path, split: str
    ) -> CutSet:
        """The cuts with their units."""
        return with_units(cuts, Path(feature_dir).parent / settings.target.units, split)

    def completion(self, settings: TrainSettings, spec: FeatureSpec, targets: UnitTargets) -> Completion:
        """Units."""
        return WithUnits(targets.spec)
