"""An experiment folder of a language model of units as a function from codes to codes that go on with them."""

from pathlib import Path
from typing import List, Optional, Union

import torch
from torch import Tensor

from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.extraction.workers import one_thread
from icefall_discrete.systems.unit_lm.generation import SamplingConfig, continued
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.vocoder.synthesis import require_codes
from icefall_discrete.tokenizers.contract import SpeechTokenizer


class UnitContinuer:
    """Goes on with codes.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints; None: those of its recipe. device: where.
    Raises:
      FileNotFoundError: if a file of the experiment is missing. ValueError: if it is not one of such a model.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        choice: Optional[CheckpointChoice] = None,
        device: Optional[torch.device] = None,
    ) -> None:
        experiment = Experiment(Path(exp_dir))
        self.spec = experiment.spec()
        network = experiment.build_model()
        if not isinstance(network, UnitLm):
            raise ValueError(
                f"{exp_dir} holds a {type(network).__name__}, which is no language model of units and goes on with "
                "nothing; give the experiment of one."
            )
        load_into(network, resolve_choice(choice or kept_settings(exp_dir)[0], exp_dir), exp_dir)
        self.network = network.to(device or torch.device("cpu")).eval()

    def encoded(self, samples: Tensor, tokenizer: SpeechTokenizer, name: str) -> Tensor:
        """Codes (T, K) of samples (S,). Raises ValueError, naming it, for audio that is too short for a frame."""
        if samples.numel() < tokenizer.min_samples:
            raise ValueError(f"{name}: {samples.numel()} samples of audio are too short for a frame of codes.")
        with one_thread(), torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            return tokenizer.encode(samples[None], torch.tensor([samples.numel()]))[0][0].long()

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
        frames = max(1, round(max_sec * self.spec.frame_rate_hz))
        return continued(self.network, [prompt] * num_samples, config or SamplingConfig(), frames)
