"""Text to sound: an experiment from texts to units, and a vocoder of the same feature type that says them."""

from pathlib import Path
from typing import Optional, Union

from torch import Tensor

from icefall_discrete.base.settings import from_dict
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import kept_settings, load_recipe
from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.inference.text_and_speech import TextAndSpeech, is_text_and_speech
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.tts.network import TextToUnits
from icefall_discrete.systems.tts.synthesis import SynthesisConfig, units_of


class TextSpeaker:
    """Says texts.

    Args:
      exp_dir: folder of the trained experiment from texts to units, or of text and speech. speaker: the vocoder.
      choice: checkpoints; None: those of its recipe. run: device. synthesis: how texts are said; None: as its recipe.
    Raises:
      FileNotFoundError: if a file of the experiment is missing.
      ValueError: if it is another system's, or the vocoder says units of another spec.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        speaker: Speaker,
        choice: Optional[CheckpointChoice] = None,
        run: Optional[RunConfig] = None,
        synthesis: Optional[SynthesisConfig] = None,
    ) -> None:
        exp_dir = Path(exp_dir)
        experiment = Experiment(exp_dir)
        self._of_both = TextAndSpeech(exp_dir, choice, run) if is_text_and_speech(exp_dir) else None
        if self._of_both is None and experiment.settings().system != "tts":
            raise ValueError(
                f"{exp_dir} was trained as system '{experiment.settings().system}', which reads no text; give the "
                "folder of one from texts to units."
            )
        experiment.spec().require_same(
            speaker.spec, f"the units of {exp_dir}", f"the vocoder {speaker.experiment.exp_dir}"
        )
        self.speaker, self.synthesis = speaker, synthesis or SynthesisConfig()
        if self._of_both is not None:
            return
        chosen = resolve_choice(choice or kept_settings(exp_dir)[0], exp_dir)
        trained = trained_system(experiment, chosen, (run or RunConfig()).torch_device())
        self.network: TextToUnits = trained.network
        self.targets = trained.targets
        said = load_recipe(exp_dir, None).get("synthesis", {})
        self.synthesis = synthesis or from_dict(SynthesisConfig, said, str(exp_dir))

    def units(self, text: str, voice: str = "", language: str = "") -> Tensor:
        """Codes (T, K) of a text in a voice of the table ("": nobody's in particular) and a language.

        Raises ValueError, a sentence, for a text that is empty or too long, for a letter without entry, and for an
        unknown voice or language; a single language need not be named.
        """
        if self._of_both is not None:
            return self._of_both.units(text, voice, language)
        return units_of(self.network, self.targets.said(text, voice, language), self.synthesis)

    def say(self, text: str, voice: str = "", language: str = "") -> Tensor:
        """Samples (S,) float32 at `speaker.sample_rate_hz`. Raises as `units`; a vocoder without the voice says so."""
        units = self.units(text, voice, language)
        return self.speaker.say(units, voice, "the units of the text")
