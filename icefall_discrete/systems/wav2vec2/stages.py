"""What wav2vec 2.0 offers to the stages of a recipe."""

from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.hidden_frames import HiddenStages
from icefall_discrete.systems.wav2vec2.network import Wav2Vec2, build_wav2vec2
from icefall_discrete.systems.wav2vec2.prediction import Wav2Vec2Prediction
from icefall_discrete.systems.wav2vec2.settings import TrainSettings
from icefall_discrete.systems.wav2vec2.system import Wav2Vec2System


class Wav2Vec2Stages(HiddenStages[TrainSettings, Wav2Vec2]):
    """An encoder of samples that learns to tell hidden frames from others."""

    settings = TrainSettings
    prediction = Wav2Vec2Prediction()

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Wav2Vec2:
        """The network."""
        return build_wav2vec2(settings.model, spec, codebooks)

    def system(
        self, network: Wav2Vec2, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, backend: str
    ) -> Wav2Vec2System:
        """The network and its loss."""
        return Wav2Vec2System(network, settings, spec)
