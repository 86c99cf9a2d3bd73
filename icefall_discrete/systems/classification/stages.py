"""What the classifier offers to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import is_speed_perturbed
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.classes import ClassTargets
from icefall_discrete.systems.classification.network import Classifier, build_classifier
from icefall_discrete.systems.classification.prediction import ClassificationPrediction
from icefall_discrete.systems.classification.settings import TrainSettings
from icefall_discrete.systems.classification.system import ClassificationSystem
from icefall_discrete.systems.contract import SystemStages


class ClassificationStages(SystemStages[TrainSettings, Classifier, ClassTargets]):
    """An encoder and a head that learn one class an utterance."""

    settings = TrainSettings
    prediction = ClassificationPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> ClassTargets:
        """The classes that the training cuts have; text pieces are not needed."""
        config = settings.filter
        labelled = with_labels(train.cuts() if isinstance(train, SharSource) else train, config.label_fraction)
        cuts = chosen_languages(labelled, config.languages)
        used = (cut for cut in cuts if config.use_speed_copies or not is_speed_perturbed(cut))
        return ClassTargets.from_cuts(settings.target.fact, used)

    def load_targets(self, exp_dir: Path) -> ClassTargets:
        """The classes of the experiment."""
        return ClassTargets.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: ClassTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Classifier:
        """The classifier."""
        scale = settings.loss.scale_of_cosines
        return build_classifier(settings.model, spec, targets.size, settings.augment, codebooks, scale)

    def system(
        self, network: Classifier, settings: TrainSettings, spec: FeatureSpec, targets: ClassTargets, backend: str
    ) -> ClassificationSystem:
        """The classifier and its loss."""
        return ClassificationSystem(network, settings.loss, spec, targets)
