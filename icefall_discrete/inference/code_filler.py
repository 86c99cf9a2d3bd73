"""First codes of frames, such as a language model tells them, to all codes of a codec, and to audio."""

from pathlib import Path
from typing import Optional, Union

import torch
from torch import Tensor

from icefall_discrete.base.settings import from_dict
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer, load_recipe
from icefall_discrete.inference.trained_network import trained_as
from icefall_discrete.systems.perceptual.network import FillConfig, generators
from icefall_discrete.systems.perceptual.system import seeds_of
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.tokenizers.contract import SpeechTokenizer

SYSTEM = "perceptual"


class CodeFiller:
    """A trained perceptual model.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints; None: those of its recipe. run: device.
    Raises:
      FileNotFoundError: if a file of the experiment is missing. ValueError: if it is another system's.
    """

    def __init__(
        self, exp_dir: Union[str, Path], choice: Optional[CheckpointChoice] = None, run: Optional[RunConfig] = None
    ) -> None:
        self._exp_dir = exp_dir = Path(exp_dir)
        self._device = (run or RunConfig()).torch_device()
        trained = trained_as(SYSTEM, exp_dir, choice, run)
        self.spec, self.network = trained.spec, trained.network
        config: FillConfig = from_dict(FillConfig, load_recipe(exp_dir, None).get("synthesis", {}), str(exp_dir))
        self.config = config
        self._tokenizer: Optional[SpeechTokenizer] = None

    def filled(self, first: Tensor, name: str, prompt: Optional[Tensor] = None) -> Tensor:
        """Codes (T, K) of frames whose first codes (T, 1) are known; the voice is that of a prompt, codes (T', K).

        Args:
          name: what the first codes are called: the draws depend on it, and sentences name it.
        Raises:
          ValueError: for what is no code of the experiment's spec.
        """
        sizes = torch.tensor(self.spec.codebook_sizes)
        begun = torch.zeros(0, len(sizes), dtype=torch.int64) if prompt is None else prompt.long()
        for codes, wanted, what in ((first, sizes[:1], name), (begun, sizes, f"the prompt of {name}")):
            if codes.is_floating_point():
                raise ValueError(f"{what} holds fractions, expected codes: whole numbers from 0.")
            if codes.shape[1:] != wanted.shape or bool((codes < 0).any()):
                raise ValueError(
                    f"{what} has shape {tuple(codes.shape)}, expected codes of {len(wanted)} codebooks, none below 0."
                )
            if bool((codes >= wanted).any()):
                raise ValueError(
                    f"{what} has the code {int(codes.max())}, expected codes below {wanted.tolist()}: they are of "
                    "another feature type."
                )
        if not len(first):
            raise ValueError(f"{name} has no frames, expected first codes of speech.")
        codes = torch.cat([begun, torch.cat([first.long(), first.new_zeros(len(first), len(sizes) - 1).long()], dim=1)])
        known = (one.to(self._device) for one in (codes[None], torch.tensor([len(codes)]), torch.tensor([len(begun)])))
        found = self.network.filled(*known, self.config, generators(seeds_of([name], self.config.draw_seed)))
        return found[0, len(begun) :].cpu()

    @torch.no_grad()
    def audio(self, codes: Tensor) -> Tensor:
        """Samples (S,) of codes (T, K), by the codec itself. Raises ValueError if it does not decode to audio."""
        if self._tokenizer is None:
            self._tokenizer = load_experiment_tokenizer(self._exp_dir, self.spec)
        return self._tokenizer.decode(codes[None], torch.tensor([len(codes)]))[0]
