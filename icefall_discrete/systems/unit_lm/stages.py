"""What a language model of units offers to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.unit_lm.network import UnitLm, build_unit_lm
from icefall_discrete.systems.unit_lm.prediction import UnitLmPrediction
from icefall_discrete.systems.unit_lm.settings import TrainSettings
from icefall_discrete.systems.unit_lm.system import UnitLmSystem


class UnitLmStages(SystemStages[TrainSettings, UnitLm, CodeTargets]):
    """A decoder that learns what codes follow codes."""

    settings = TrainSettings
    prediction = UnitLmPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> CodeTargets:
        """The codes themselves."""
        return CodeTargets()

    def load_targets(self, exp_dir: Path) -> CodeTargets:
        """The codes themselves."""
        return CodeTargets.load(exp_dir)

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
