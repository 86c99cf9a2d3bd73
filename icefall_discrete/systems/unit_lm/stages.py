"""What a language model of units offers to the stages of a recipe."""

from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.hidden_frames import HiddenStages
from icefall_discrete.systems.unit_lm.network import UnitLm, build_unit_lm
from icefall_discrete.systems.unit_lm.prediction import UnitLmPrediction
from icefall_discrete.systems.unit_lm.settings import TrainSettings
from icefall_discrete.systems.unit_lm.system import UnitLmSystem


class UnitLmStages(HiddenStages[TrainSettings, UnitLm]):
    """A decoder that learns what codes follow codes."""

    settings = TrainSettings
    prediction = UnitLmPrediction()

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> UnitLm:
        """The network."""
        return build_unit_lm(settings.model, spec, codebooks)

    def system(
        self, network: UnitLm, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, backend: str
    ) -> UnitLmSystem:
        """The network and its loss."""
        return UnitLmSystem(network, spec)
