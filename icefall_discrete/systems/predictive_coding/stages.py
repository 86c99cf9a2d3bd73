"""What predictive coding offers to the stages of a recipe."""

from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.hidden_frames import HiddenStages
from icefall_discrete.systems.predictive_coding.network import PredictiveCoding, build_predictive_coding
from icefall_discrete.systems.predictive_coding.prediction import PredictiveCodingPrediction
from icefall_discrete.systems.predictive_coding.settings import TrainSettings
from icefall_discrete.systems.predictive_coding.system import PredictiveCodingSystem


class PredictiveCodingStages(HiddenStages[TrainSettings, PredictiveCoding]):
    """An encoder of samples that learns to tell frames ahead from others."""

    settings = TrainSettings
    prediction = PredictiveCodingPrediction()

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> PredictiveCoding:
        """The network."""
        return build_predictive_coding(settings.model, spec, codebooks)

    def system(
        self, network: PredictiveCoding, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, backend: str
    ) -> PredictiveCodingSystem:
        """The network and its loss."""
        return PredictiveCodingSystem(network, settings, spec)
