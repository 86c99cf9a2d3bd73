"""An experiment folder of a language model as a function from codes to codes that go on with them."""

import dataclasses
from pathlib import Path
from typing import List, Optional, Union

from torch import Tensor

from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.inference.text_and_speech import TextAndSpeech, is_text_and_speech
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.unit_lm.generation import SamplingConfig, continued
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.vocoder.synthesis import require_codes


class UnitContinuer:
    """Goes on with codes.

    Args:
      exp_dir: folder of the trained experiment, of codes, or of text and speech.
      choice: checkpoints; None: those of its recipe. run: device.
    Raises:
      FileNotFoundError: if a file of the experiment is missing. ValueError: if it is not one of such a model.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        choice: Optional[CheckpointChoice] = None,
        run: Optional[RunConfig] = None,
    ) -> None:
        experiment = Experiment(Path(exp_dir))
        self.spec = experiment.spec()
        self._of_both = TextAndSpeech(exp_dir, choice, run) if is_text_and_speech(exp_dir) else None
        if self._of_both is not None:
            return
        network = experiment.build_model()
        if not isinstance(network, UnitLm):
            raise ValueError(
                f"{exp_dir} holds a {type(network).__name__}, which is no language model of units and goes on with "
                "nothing; give the experiment of one."
            )
        load_into(network, resolve_choice(choice or kept_settings(exp_dir)[0], exp_dir), exp_dir)
        self.network = network.to((run or RunConfig()).torch_device()).eval()

    def first_of(self, codes: Tensor, seconds: float, name: str) -> Tensor:
        """The first `seconds` of codes (T, K), at the average rate where it is variable; 0: all.

        Raises ValueError, naming it, for what is no code of the spec.
        """
        require_codes(codes, self.spec, name)
        return codes[: max(1, round(seconds * self.spec.frame_rate_hz))] if seconds else codes

    def continued(
        self, prompt: Tensor, max_sec: float, config: Optional[SamplingConfig] = None, num_samples: int = 1
    ) -> List[Tensor]:
        """Codes (T', K), `num_samples` times, that begin with `prompt` (T, K) and go on for up to `max_sec` seconds."""
        frames, config = max(1, round(max_sec * self.spec.frame_rate_hz)), config or SamplingConfig()
        if self._of_both is None:
            return continued(self.network, [prompt] * num_samples, config, frames)
        each = [dataclasses.replace(config, seed=config.seed + number) for number in range(num_samples)]
        return [self._of_both.continued(prompt, frames, one) for one in each]
