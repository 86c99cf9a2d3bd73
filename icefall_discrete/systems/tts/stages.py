"""What texts to units offer to the stages of a recipe."""

from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Completion
from icefall_discrete.data.filters import chosen_languages
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.spoken_text import SpokenTextTargets
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.tts.batches import WithSymbols
from icefall_discrete.systems.tts.network import TextToUnits, build_text_to_units
from icefall_discrete.systems.tts.prediction import TtsPrediction
from icefall_discrete.systems.tts.settings import TrainSettings
from icefall_discrete.systems.tts.system import TtsSystem
from icefall_discrete.text.alignments import Alignments, read_alignments


class TtsStages(SystemStages[TrainSettings, TextToUnits, SpokenTextTargets]):
    """A network that learns the units of texts, from alignments."""

    settings = TrainSettings
    prediction = TtsPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> SpokenTextTargets:
        """Symbols, voices and languages of the training cuts that the files `*.ctm` in `lang_dir` align.

        Raises:
          ValueError: if there are none, or the cuts are read from Shar.
        """
        if isinstance(train, SharSource):
            raise ValueError("text to speech reads its cuts from the manifest, not from Shar; leave --shar-dir away.")
        config, target = settings.filter, settings.target
        cuts = chosen_languages(with_labels(train, config.label_fraction), config.languages)
        return SpokenTextTargets.from_cuts(target.front, target.fact, cuts, alignments_in(lang_dir))

    def load_targets(self, exp_dir: Path) -> SpokenTextTargets:
        """The tables of the experiment."""
        return SpokenTextTargets.load(exp_dir)

    def network(
        self,
        settings: TrainSettings,
        spec: FeatureSpec,
        targets: SpokenTextTargets,
        codebooks: Optional[Sequence[Tensor]],
    ) -> TextToUnits:
        """The network."""
        return build_text_to_units(settings.model, spec, targets.size, targets.voices.size, targets.languages.size)

    def system(
        self, network: TextToUnits, settings: TrainSettings, spec: FeatureSpec, targets: SpokenTextTargets, backend: str
    ) -> TtsSystem:
        """The network and its losses."""
        return TtsSystem(network, settings, spec, targets)

    def completion(self, settings: TrainSettings, spec: FeatureSpec, targets: SpokenTextTargets) -> Completion:
        """Symbols with their durations, voices, languages."""
        return WithSymbols(spec, targets)


def alignments_in(folder: Optional[Path]) -> Alignments:
    """All alignments of the CTM files of a folder. Raises ValueError if there are none."""
    files = sorted(folder.glob("*.ctm")) if folder is not None else []
    if not files:
        raise ValueError(
            f"{folder or 'no folder'} holds no alignments (*.ctm), which tell how long letters last; make them with "
            "local/align_cuts.py, and give their folder as --lang-dir."
        )
    found: Alignments = {}
    for path in files:
        found.update(read_alignments(path))
    return found
