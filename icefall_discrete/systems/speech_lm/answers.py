"""A model of text and speech as one that is asked: codes to text, text to codes, codes that go on."""

import dataclasses
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.voice_vectors import VoiceVectors
from icefall_discrete.systems.speech_lm.generation import answered, number_of
from icefall_discrete.systems.speech_lm.layouts import HEARD, Layout, Utterances, layout_named, voices_of
from icefall_discrete.systems.speech_lm.steps import Steps
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.unit_lm.generation import SamplingConfig
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.text.text_ids import BYTES, TextIds


@dataclasses.dataclass(frozen=True)
class Answerer:
    """Asks a network, in evaluation mode, with layouts; codes are of `spec`, texts divided as `text` does.

    `voices` are the vectors of speakers that layouts may begin with.
    """

    network: UnitLm
    layouts: Tuple[Layout, ...]
    spec: FeatureSpec
    text: TextIds = BYTES
    voices: Optional[VoiceVectors] = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids of the network."""
        return Vocabulary(self.spec.codebook_sizes, self.text)

    @property
    def steps(self) -> Steps:
        """How ids are steps of the network."""
        return Steps.of(self.network, self.vocabulary)

    def layout(self, task: str) -> Layout:
        """The layout of a task. Raises ValueError if there is none."""
        return layout_named(self.layouts, task)

    def _asked(self, task: str, every: Utterances) -> List[List[int]]:
        """What each utterance is asked with. Raises ValueError, naming it, for facts that lack and what is too long."""
        asked, steps, most = [], self.steps, self.network.config.decoder.most_steps
        for name, facts, heard in zip(*every):
            try:
                asked.append(self.layout(task).asked(facts, heard, self.vocabulary))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            num_steps = len(steps.arranged(asked[-1])) if most is not None else 0
            if most is not None and num_steps >= most:
                raise ValueError(
                    f"{name}: {num_steps} steps are asked with, but the learned positions end at {most}, the answer "
                    "included; leave it out, or cut it in pieces."
                )
        return asked

    def _voices(self, task: str, every: Utterances) -> Optional[Tensor]:
        return voices_of([self.layout(task)] * len(every.names), every, self.voices)

    def texts(self, task: str, every: Utterances, config: SamplingConfig, most: int) -> List[str]:
        """The texts that are said of utterances, of at most `most` ids each.

        Raises:
          ValueError: naming the utterance, for facts that lack, codes of others, and what is too long.
        """
        words, steps = self.vocabulary, self.steps
        rules, voices = self.layout(task).rules(steps.outline), self._voices(task, every)
        found = answered(self.network, steps, self._asked(task, every), rules, config, most, voices=voices)
        return [words.text_of(ids).strip() for ids in found]

    def units(
        self, task: str, facts: Mapping[str, Any], begun: Tensor, config: SamplingConfig, most_frames: int
    ) -> Tensor:
        """Codes (T', K) that begin with `begun` (T, K), which may be none, and go on for at most `most_frames`.

        Of `begun` the frames are heard, and given back, that fill steps of the network.

        Raises:
          ValueError: for a task that is not answered with speech, and for facts that it lacks.
        """
        layout, words = self.layout(task), self.vocabulary
        if layout.answers_with != HEARD:
            raise ValueError(f"task '{task}' is answered with {layout.answers_with}, not with speech; name another.")
        steps = self.steps
        begun = begun[: steps.whole_frames(len(begun))]
        asked = [*layout.asked(facts, begun, words), *words.unit_ids(begun)]
        rules, most = layout.rules(steps.outline), steps.num_of_frames(most_frames)
        voices = self._voices(task, Utterances([""], [facts], []))
        found = answered(self.network, steps, [asked], rules, config, most, voices=voices)[0]
        return torch.cat([begun.long(), words.units_of(found)[:most_frames]])

    def said(
        self, task: str, names: Sequence[str], facts: Sequence[Mapping[str, Any]], config: SamplingConfig, most: int
    ) -> List[Tensor]:
        """The codes (T, K) that are said of the texts of utterances with names and facts, `most` frames or fewer each.

        Raises:
          ValueError: for a task that does not ask with a text for speech; as `texts`.
        """
        layout, words, steps = self.layout(task), self.vocabulary, self.steps
        if layout.answers_with != HEARD or not layout.asks_with_text:
            raise ValueError(f"task '{task}' does not ask with a text for speech; name another.")
        none = [torch.zeros(0, self.spec.num_codebooks, dtype=torch.int64)] * len(names)
        every = Utterances(list(names), facts, none)
        asked, voices = self._asked(task, every), self._voices(task, every)
        least = steps.num_of_frames(1)  # no speech is without a frame
        rules = [rule._replace(least=least) for rule in layout.rules(steps.outline)]
        numbers = [number_of(name) for name in names]
        found = answered(self.network, steps, asked, rules, config, steps.num_of_frames(most), numbers, voices)
        return [words.units_of(ids)[:most] for ids in found]

    def replies(
        self, task: str, facts: Mapping[str, Any], heard: Tensor, config: SamplingConfig, most: int
    ) -> Tuple[str, Tensor]:
        """The text of an answer and the codes (T', K) that say it, to codes (T, K) that are heard: chain of modality.

        Raises:
          ValueError: for a task whose answer is not a text and then speech.
        """
        layout, words, steps = self.layout(task), self.vocabulary, self.steps
        if layout.answers_with == HEARD or not layout.speaks:
            raise ValueError(f"the answer of task '{task}' is not a text that goes on in speech; name another.")
        asked = layout.asked(facts, heard, words)
        voices = self._voices(task, Utterances([""], [facts], []))
        ids = answered(self.network, steps, [asked], layout.rules(steps.outline), config, most, voices=voices)[0]
        return words.text_of(ids).strip(), words.units_of(ids)
