"""What a perceptual model offers to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.systems.hidden_frames import HiddenStages
from icefall_discrete.systems.perceptual.build import build_filler
from icefall_discrete.systems.perceptual.network import Filler
from icefall_discrete.systems.perceptual.prediction import PerceptualPrediction
from icefall_discrete.systems.perceptual.settings import TrainSettings
from icefall_discrete.systems.perceptual.system import PerceptualSystem


class PerceptualStages(HiddenStages[TrainSettings, Filler]):
    """An encoder that finds the codes which the first codebook leaves over."""

    settings = TrainSettings
    prediction = PerceptualPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> CodeTargets:
        """The codes themselves, and texts where they are read."""
        return WordedCodes() if settings.model.reads_text else CodeTargets()

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Filler:
        """The network."""
        return build_filler(settings.model, spec, codebooks)

    def system(
        self, network: Filler, settings: TrainSettings, spec: FeatureSpec, targets: CodeTargets, backend: str
    ) -> PerceptualSystem:
        """The network and its loss."""
        return PerceptualSystem(network, settings.task, spec)
