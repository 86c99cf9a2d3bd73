"""What trained predictive coding does with the cuts of a split: it tells frames ahead from others, always the same."""

from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.contrast import ContrastPrediction
from icefall_discrete.systems.prediction import Trained
from icefall_discrete.systems.predictive_coding.network import PredictiveCoding
from icefall_discrete.systems.predictive_coding.settings import TrainSettings
from icefall_discrete.systems.predictive_coding.system import PredictiveCodingSystem


class PredictiveCodingPrediction(ContrastPrediction[TrainSettings, PredictiveCoding, CodeTargets]):
    """Frames ahead are told from others."""

    title = "predictive coding"
    looked_for = "frames ahead"

    def system(self, trained: Trained[TrainSettings, PredictiveCoding, CodeTargets]) -> PredictiveCodingSystem:
        """See ContrastPrediction."""
        return PredictiveCodingSystem(trained.network, trained.settings, trained.spec)
