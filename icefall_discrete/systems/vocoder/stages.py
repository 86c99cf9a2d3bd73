"""What the vocoder offers to the stages of a recipe."""

import dataclasses
from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import is_speed_perturbed
from icefall_discrete.data.dataset import Batch, Completion
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.data.loaders import Cuts
from icefall_discrete.data.prompts import WithPrompts, with_prompts
from icefall_discrete.data.prosody import WithProsody, with_prosody
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.speech import WithAudio, parts_of
from icefall_discrete.data.targets.prompted_voices import PromptedVoices, has_prompts
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.vocoder.network import Vocoder, build_vocoder
from icefall_discrete.systems.vocoder.prediction import VocoderPrediction
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.systems.vocoder.system import VocoderSystem


@dataclasses.dataclass(frozen=True)
class WithContext:
    """Adds audio and prompts of at most `longest_sec` to a batch, and prosody where the cuts have it."""

    spec: FeatureSpec
    voices: PromptedVoices
    longest_sec: float

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts with all of it. Raises UnreadableAudio, naming the cut."""
        batch = WithPrompts(self.spec, self.voices, self.longest_sec)(cuts, WithAudio(self.spec)(cuts, batch))
        return WithProsody(self.spec)(cuts, batch)


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
        if settings.model.generator.takes_prompt:
            return PromptedVoices.recorded(settings.target.fact, used, *settings.target.prompts)
        return VoiceTargets.from_cuts(settings.target.fact, used)

    def load_targets(self, exp_dir: Path) -> VoiceTargets:
        """The voices of the experiment, with their prompts where it has any."""
        return PromptedVoices.load(exp_dir) if has_prompts(exp_dir) else VoiceTargets.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets, codebooks: Optional[Sequence[Tensor]]
    ) -> Vocoder:
        """The vocoder; one that takes prompts standardises their spectra as those of the voices are."""
        network = build_vocoder(settings.model, spec, targets.size, codebooks)
        if network.log_mel is not None and isinstance(targets, PromptedVoices):
            prompts = [targets.prompt(number, spec.sample_rate_hz) for number in range(1, targets.size)]
            kept = [one for one in prompts if one is not None]
            if kept:
                network.log_mel.fit(kept)
        return network

    def system(
        self, network: Vocoder, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets, backend: str
    ) -> VocoderSystem:
        """The vocoder and its losses."""
        return VocoderSystem(network, settings, spec, targets)

    def completion(self, settings: TrainSettings, spec: FeatureSpec, targets: VoiceTargets) -> Completion:
        """Audio; prompts where a generator takes them, and prosody where it learns it."""
        if not isinstance(targets, PromptedVoices):
            return WithAudio(spec)
        return WithContext(spec, targets, settings.target.prompts.most)

    def with_more(
        self, settings: TrainSettings, cuts: CutSet, spec: FeatureSpec, feature_dir: Path, split: str
    ) -> CutSet:
        """The cuts with their prosody where a generator learns it; copies at other speeds are left out if unused."""
        if not settings.model.generator.expects_prosody:
            return cuts
        used = [cut for cut in cuts if settings.filter.use_speed_copies or not is_speed_perturbed(cut)]
        return with_prosody(CutSet.from_cuts(used), spec, feature_dir, split, settings.loader.num_workers)

    def cuts_of_epoch(self, settings: TrainSettings, cuts: Cuts, spec: FeatureSpec, epoch: int) -> Cuts:
        """Parts of them, others in each epoch, with prompts where a generator takes them."""
        if not isinstance(cuts, CutSet):
            return cuts
        target, seeds = settings.target, (settings.train.seed, epoch)
        parts = parts_of(cuts, spec, target.part_sec, *seeds)
        if not settings.model.generator.takes_prompt:
            return parts
        return with_prompts(parts, cuts, target.fact, target.prompts, *seeds)
