"""What enhancement and separation offer to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Completion
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.sources import WithSources, with_sources
from icefall_discrete.data.targets.sources import SourceTargets
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.enhancement.network import Enhancer, build_enhancer
from icefall_discrete.systems.enhancement.prediction import EnhancementPrediction
from icefall_discrete.systems.enhancement.settings import TrainSettings
from icefall_discrete.systems.enhancement.system import EnhancementSystem


class EnhancementStages(SystemStages[TrainSettings, Enhancer, SourceTargets]):
    """An encoder that finds the codes of the sources of a mixture."""

    settings = TrainSettings
    prediction = EnhancementPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> SourceTargets:
        """The sources that the settings name. Raises ValueError if the cuts are read from Shar."""
        if isinstance(train, SharSource):
            raise ValueError("Shar holds the mixtures only, not their sources; train from the manifest.")
        return SourceTargets(settings.target.sources)

    def load_targets(self, exp_dir: Path) -> SourceTargets:
        """The sources of the experiment."""
        return SourceTargets.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: SourceTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Enhancer:
        """The network."""
        return build_enhancer(settings.model, spec, targets.size, codebooks)

    def system(
        self, network: Enhancer, settings: TrainSettings, spec: FeatureSpec, targets: SourceTargets, backend: str
    ) -> EnhancementSystem:
        """The network and its loss."""
        return EnhancementSystem(network, spec)

    def with_more(
        self, settings: TrainSettings, cuts: CutSet, spec: FeatureSpec, feature_dir: Path, split: str
    ) -> CutSet:
        """The mixtures with the codes of their sources."""
        return with_sources(cuts, spec, feature_dir, split, settings.target.sources)

    def completion(self, settings: TrainSettings, spec: FeatureSpec, targets: SourceTargets) -> Completion:
        """Codes of sources."""
        return WithSources(spec, targets.names)
