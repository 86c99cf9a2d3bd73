"""What Continuous BERT offers to the stages of a recipe."""

from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.continuous_bert.network import ContinuousBert, build_continuous_bert
from icefall_discrete.systems.continuous_bert.prediction import ContinuousBertPrediction
from icefall_discrete.systems.continuous_bert.settings import TrainSettings
from icefall_discrete.systems.continuous_bert.system import ContinuousBertSystem
from icefall_discrete.systems.hidden_frames import HiddenStages


class ContinuousBertStages(HiddenStages[TrainSettings, ContinuousBert]):
    """An encoder of features that learns to tell hidden frames from others."""

    settings = TrainSettings
    prediction = ContinuousBertPrediction()

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> ContinuousBert:
        """The network."""
        return build_continuous_bert(settings.model, spec, codebooks)

    def system(
        self, network: ContinuousBert, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, backend: str
    ) -> ContinuousBertSystem:
        """The network and its loss."""
        return ContinuousBertSystem(network, settings, spec)
