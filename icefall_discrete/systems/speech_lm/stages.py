"""What a model of text and speech offers to the stages of a recipe."""

import dataclasses
from pathlib import Path
from typing import Optional, Sequence, Union

from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.voice_vectors import VoiceVectors
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.systems.contract import SystemStages
from icefall_discrete.systems.speech_lm.prediction import SpeechLmPrediction
from icefall_discrete.systems.speech_lm.settings import TrainSettings
from icefall_discrete.systems.speech_lm.steps import Steps
from icefall_discrete.systems.speech_lm.system import SpeechLmSystem
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.unit_lm.network import ModelConfig, UnitLm, build_unit_lm
from icefall_discrete.text.published_pieces import FILE, PublishedPieces
from icefall_discrete.text.text_ids import BYTES, TextIds
from icefall_discrete.tokenizers.formats.pretrained import locate_folder


def build_speech_lm(
    config: ModelConfig, spec: FeatureSpec, text: TextIds = BYTES, frames_per_step: int = 0, voice_dim: int = 0
) -> UnitLm:
    """The network over steps of text, marks and codes of `spec`. Raises ValueError for features that are no codes."""
    if spec.kind != "codes":
        return build_unit_lm(config, spec, voice_dim=voice_dim)
    sizes = Steps(Vocabulary(spec.codebook_sizes, text), frames_per_step).codebook_sizes
    of_steps = dataclasses.replace(spec, codebook_sizes=sizes, num_codebooks=len(sizes))
    config = dataclasses.replace(config, pattern="parallel") if frames_per_step else config
    return build_unit_lm(config, of_steps, voice_dim=voice_dim)


class SpeechLmStages(SystemStages[TrainSettings, UnitLm, WordedCodes]):
    """A decoder that learns answers in text and speech."""

    settings = TrainSettings
    prediction = SpeechLmPrediction()

    def targets(
        self, settings: TrainSettings, train: Union[CutSet, SharSource], lang_dir: Optional[Path]
    ) -> WordedCodes:
        """Codes, and texts if a layout has them. Raises FileNotFoundError, ValueError if there are no such pieces."""
        layouts, pieces = settings.task.read(Vocabulary((1,))), settings.task.text_pieces
        text = PublishedPieces.read(locate_folder(pieces, "language", (FILE,))) if pieces else BYTES
        path, asking = settings.task.voices, [layout.name for layout in layouts if layout.begins_with_voice]
        if bool(path) != bool(asking):
            wrong = f"layouts of {', '.join(asking)} begin" if asking else f"voices is {path}, but no layout begins"
            raise ValueError(
                f"{wrong} with {{voice}}; vectors of speakers (--voices FILE, which local/embed_voices.py makes) and "
                "layouts that begin with them go together."
            )
        voices = VoiceVectors.read(Path(path)) if path else None
        return WordedCodes(any(layout.needs_text for layout in layouts), text, voices)

    def load_targets(self, exp_dir: Path) -> WordedCodes:
        """The pieces of texts."""
        return WordedCodes.load(exp_dir)

    def network(
        self, settings: TrainSettings, spec: FeatureSpec, targets: WordedCodes, codebooks: Optional[Sequence[Tensor]]
    ) -> UnitLm:
        """The network, over the ids of the vocabulary. Raises ValueError for features that are no codes."""
        voice_dim = 0 if targets.voices is None else targets.voices.dim
        return build_speech_lm(settings.model, spec, targets.text, settings.task.frames_per_step, voice_dim)

    def system(
        self, network: UnitLm, settings: TrainSettings, spec: FeatureSpec, targets: WordedCodes, backend: str
    ) -> SpeechLmSystem:
        """The network and its loss."""
        return SpeechLmSystem(network, settings.task, spec, targets.text, targets.voices)
