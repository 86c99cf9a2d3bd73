"""What a trained wav2vec 2.0 does with the cuts of a split: it tells hidden frames from others, always the same."""

from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.contrast import ContrastPrediction
from icefall_discrete.systems.prediction import Trained
from icefall_discrete.systems.wav2vec2.network import Wav2Vec2
from icefall_discrete.systems.wav2vec2.settings import TrainSettings
from icefall_discrete.systems.wav2vec2.system import Wav2Vec2System


class Wav2Vec2Prediction(ContrastPrediction[TrainSettings, Wav2Vec2, CodeTargets]):
    """Hidden frames of samples are told from others."""

    title = "wav2vec 2.0"

    def system(self, trained: Trained[TrainSettings, Wav2Vec2, CodeTargets]) -> Wav2Vec2System:
        """See ContrastPrediction."""
        return Wav2Vec2System(trained.network, trained.settings, trained.spec)
