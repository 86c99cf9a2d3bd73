"""What the vocoder offers to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import is_speed_perturbed
from icefall_discrete.data.dataset import Completion
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.data.loaders import Cuts
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.speech import WithAudio, parts_of
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.vocoder.network import Vocoder, build_vocoder
from icefall_discrete.systems.vocoder.prediction import VocoderPrediction
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.systems.vocoder.system import VocoderSystem


class VocoderStages(SystemStages[TrainSettings, Vocoder, VoiceTargets]):
    """A generator that learns to say what codes were made from."""

    settings = TrainSettings
    prediction = VocoderPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> VoiceTargets:
        """The voices that the training cuts have.

        Raises:
          ValueError: if the cuts are read from Shar, which holds no audio.
        """
        if isinstance(train, SharSource):
            raise ValueError("a vocoder learns from audio, which Shar does not hold; train from the manifest.")
        config = settings.filter
        cuts = chosen_languages(with_labels(train, config.label_fraction), config.languages)
        used = (cut for cut in cuts if config.use_speed_copies or not is_speed_perturbed(cut))
        return VoiceTargets.from_cuts(settings.target.fact, used)

    def load_targets(self, exp_dir: Path) -> VoiceTargets:
        """The voices of the experiment."""
        return VoiceTargets.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Vocoder:
        """The vocoder."""
        return build_vocoder(settings.model, spec, targets.size, codebooks)

    def system(
        self, network: Vocoder, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets, backend: str
    ) -> VocoderSystem:
        """The vocoder and its losses."""
        return VocoderSystem(network, settings, spec, targets)

    def completion(self, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets) -> Completion:
        """Audio."""
        return WithAudio(spec)

    def cuts_of_epoch(self, settings: TrainSettings, cuts: Cuts, spec: FeatureSpec, epoch: int) -> Cuts:
        """Parts of them, others in each epoch."""
        if not isinstance(cuts, CutSet):
            return cuts
        return parts_of(cuts, spec, settings.target.part_sec, settings.train.seed, epoch)
