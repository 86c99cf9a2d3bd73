"""First codes of frames, such as a language model tells them, to all codes of a codec, and to audio."""

import dataclasses
from pathlib import Path
from typing import Optional, Union

import torch
from torch import Tensor

from icefall_discrete.base.settings import from_dict
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer, load_recipe
from icefall_discrete.inference.trained_network import trained_as
from icefall_discrete.systems.perceptual.network import FillConfig, generators, text_ids
from icefall_discrete.systems.perceptual.system import seeds_of
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.systems.vocoder.synthesis import require_codes
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

    @property
    def reads_text(self) -> bool:
        """Whether it has to be told what is said."""
        return self.network.letters is not None

    def filled(self, first: Tensor, name: str, prompt: Optional[Tensor] = None, text: str = "") -> Tensor:
        """Codes (T, K) of frames whose first codes (T, 1) are known; the voice is that of a prompt, codes (T', K).

        Args:
          name: what the first codes are called: the draws depend on it, and sentences name it. text: what is said, in
            the prompt first, where the model reads it.
        Raises:
          ValueError: for what is no code of the experiment's spec, and for a text that lacks.
        """
        one_book = dataclasses.replace(self.spec, codebook_sizes=self.spec.codebook_sizes[:1], num_codebooks=1)
        require_codes(first, one_book, name)
        books = self.spec.num_codebooks
        begun = torch.zeros(0, books, dtype=torch.int64) if prompt is None else prompt.long()
        if prompt is not None:
            require_codes(prompt, self.spec, f"the prompt of {name}")
        codes = torch.cat([begun, torch.cat([first.long(), first.new_zeros(len(first), books - 1).long()], dim=1)])
        known = (one.to(self._device) for one in (codes[None], torch.tensor([len(codes)]), torch.tensor([len(begun)])))
        texts = [text_ids(text, name)] if self.reads_text else []
        found = self.network.filled(*known, self.config, generators(seeds_of([name], self.config.draw_seed)), texts)
        return found[0, len(begun) :].cpu()

    @torch.no_grad()
    def audio(self, codes: Tensor) -> Tensor:
        """Samples (S,) of codes (T, K), by the codec itself. Raises ValueError if it does not decode to audio."""
        if self._tokenizer is None:
            self._tokenizer = load_experiment_tokenizer(self._exp_dir, self.spec)
        return self._tokenizer.decode(codes[None], torch.tensor([len(codes)]))[0]
