"""What a trained Continuous BERT does with the cuts of a split: it tells hidden frames from others, always the same."""

from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.continuous_bert.network import ContinuousBert
from icefall_discrete.systems.continuous_bert.settings import TrainSettings
from icefall_discrete.systems.continuous_bert.system import ContinuousBertSystem
from icefall_discrete.systems.contrast import ContrastPrediction
from icefall_discrete.systems.prediction import Trained


class ContinuousBertPrediction(ContrastPrediction[TrainSettings, ContinuousBert, CodeTargets]):
    """Hidden frames of features are told from others."""

    title = "Continuous BERT"

    def system(self, trained: Trained[TrainSettings, ContinuousBert, CodeTargets]) -> ContinuousBertSystem:
        """See ContrastPrediction."""
        return ContinuousBertSystem(trained.network, trained.settings, trained.spec)
