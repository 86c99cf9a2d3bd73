"""What Discrete BERT offers to the stages of a recipe."""

from typing import Optional, Sequence

from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.systems.discrete_bert.network import DiscreteBert, build_discrete_bert
from icefall_discrete.systems.discrete_bert.prediction import DiscreteBertPrediction
from icefall_discrete.systems.discrete_bert.settings import TrainSettings
from icefall_discrete.systems.discrete_bert.system import DiscreteBertSystem
from icefall_discrete.systems.hidden_frames import HiddenStages


class DiscreteBertStages(HiddenStages[TrainSettings, DiscreteBert]):
    """An encoder that learns to find hidden codes."""

    settings = TrainSettings
    prediction = DiscreteBertPrediction()

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> DiscreteBert:
        """The network."""
        return build_discrete_bert(settings.model, spec, codebooks)

    def system(
        self, network: DiscreteBert, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, backend: str
    ) -> DiscreteBertSystem:
        """The network and its loss."""
        return DiscreteBertSystem(network, settings.mask, spec)
