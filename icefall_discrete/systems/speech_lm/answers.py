"""A model of text and speech as one that is asked: codes to text, text to codes, codes that go on."""

import dataclasses
from typing import Any, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.systems.speech_lm.generation import answered
from icefall_discrete.systems.speech_lm.layouts import HEARD, Layout, layout_named
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.unit_lm.generation import SamplingConfig
from icefall_discrete.systems.unit_lm.network import UnitLm


@dataclasses.dataclass(frozen=True)
class Answerer:
    """Asks a network, in evaluation mode, with layouts; codes are of `spec`."""

    network: UnitLm
    layouts: Tuple[Layout, ...]
    spec: FeatureSpec

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids of the network."""
        return Vocabulary(self.spec.codebook_sizes)

    def layout(self, task: str) -> Layout:
        """The layout of a task. Raises ValueError if there is none."""
        return layout_named(self.layouts, task)

    def texts(
        self, task: str, facts: Sequence[Mapping[str, Any]], codes: Sequence[Tensor], config: SamplingConfig, most: int
    ) -> List[str]:
        """The texts that are said of utterances with facts and codes (T, K), of at most `most` bytes each."""
        layout, words = self.layout(task), self.vocabulary
        asked = [layout.asked(one, heard, words) for one, heard in zip(facts, codes)]
        found = answered(self.network, asked, layout.rule(words), config, most)
        return [words.text_of(ids).strip() for ids in found]

    def units(
        self, task: str, facts: Mapping[str, Any], begun: Tensor, config: SamplingConfig, most_frames: int
    ) -> Tensor:
        """Codes (T', K) that begin with `begun` (T, K), which may be none, and go on for at most `most_frames`.

        Raises:
          ValueError: for a task that is not answered with speech, and for facts that it lacks.
        """
        layout, words = self.layout(task), self.vocabulary
        if layout.answers_with != HEARD:
            raise ValueError(f"task '{task}' is answered with {layout.answers_with}, not with speech; name another.")
        asked = [*layout.asked(facts, begun, words), *words.unit_ids(begun)]
        books = self.spec.num_codebooks
        found = answered(self.network, [asked], layout.rule(words), config, most_frames * books)[0]
        return torch.cat([begun.long(), words.units_of(found)])
