"""Whose voice a vocoder that takes a prompt speaks in: that of a file, of a voice of its table, of a cut's speaker."""

from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.data.prompts import by_voice, prompt_among, read_prompt, voice_name
from icefall_discrete.data.targets.prompted_voices import PromptedVoices
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.nn.generators.contract import Prompt
from icefall_discrete.systems.vocoder.network import Vocoder

# The published choice is of utterances of more than this; what training had, shorter ones, may be less.
LEAST_SEC = 3.0


class Prompter:
    """Finds prompts.

    Args:
      network: the vocoder. voices: of its experiment. path: a file whose voice is spoken in; "": none.
    Raises:
      ValueError: for a file that is no prompt, or where the network takes none.
    """

    def __init__(self, network: Vocoder, voices: VoiceTargets, path: str = "") -> None:
        self._network, self._voices = network, voices
        self._given: Optional[Prompt] = None
        self._kept: Dict[int, Prompt] = {}
        if path:
            if not network.takes_prompt:
                raise ValueError(
                    f"--prompt {path}: the generator of this vocoder takes no prompt; leave it away, or train "
                    "generator ctx_vec2wav or prompted_vocos."
                )
            self._given = self._made(read_prompt(Path(path), network.sample_rate_hz))

    @torch.no_grad()
    def _made(self, samples: Tensor) -> Prompt:
        device = next(self._network.parameters()).device
        made = self._network.prompt(samples[None].to(device), torch.tensor([len(samples)]))
        return Prompt(*(one.cpu() for one in made))

    def _of_number(self, number: int) -> Optional[Prompt]:
        if number not in self._kept and isinstance(self._voices, PromptedVoices):
            samples = self._voices.prompt(number, self._network.sample_rate_hz)
            if samples is not None:
                self._kept[number] = self._made(samples)
        return self._kept.get(number)

    def of_voice(self, number: int) -> Optional[Prompt]:
        """The prompt for a voice of the table, of one utterance; None where the network takes none.

        Raises ValueError for a voice that has none, such as nobody's in particular, number 0.
        """
        if not self._network.takes_prompt:
            return None
        found = self._given or self._of_number(number)
        if found is None:
            names = self._voices.names
            known = f" or --speaker, one of {', '.join(names[:10])}" if names else ""
            raise ValueError(f"this vocoder speaks in the voice of a prompt; give --prompt, an audio file{known}.")
        return found

    def among(self, cuts: Sequence[Cut], number: Optional[int] = None) -> Callable[[Cut], Optional[Prompt]]:
        """A function from a cut to its prompt: of the voice `number` of the table if there is one, else of its own.

        A voice that is not in the table is that of another of `cuts` of the same speaker, always the same one.
        Raises ValueError, naming the cut, where there is none; before anything is said.
        """
        if not self._network.takes_prompt or self._given or number:
            one = self.of_voice(number or 0)
            return lambda cut: one
        spoken = by_voice(list(cuts), self._voices.fact)
        chosen = {cut.id: self._choice(cut, spoken) for cut in cuts if not self._voices.of(cut)}

        def prompt(cut: Cut) -> Optional[Prompt]:
            other = chosen.get(cut.id)
            if other is None:
                return self.of_voice(self._voices.of(cut))
            return self._made(load_finite(other, self._network.sample_rate_hz))

        return prompt

    def _choice(self, cut: Cut, spoken: Dict[str, List[Cut]]) -> Cut:
        fact = self._voices.fact
        name = voice_name(cut, fact)
        found = prompt_among(cut, spoken.get(name or "", []), LEAST_SEC)
        if found is None:
            raise ValueError(
                f"cut {cut.id}: its {fact} '{name or 'not known'}' is not in the training data, and has no other "
                "utterance in this manifest to be prompted with; give --prompt, an audio file."
            )
        return found
