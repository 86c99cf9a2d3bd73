"""What batches hold besides codes: the symbols of texts, how long each lasts, voices and languages.

N utterances, U symbols.
"""

import dataclasses
from typing import List

import torch
from lhotse import CutSet
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.contract import LeftOut
from icefall_discrete.data.targets.spoken_text import SpokenTextTargets
from icefall_discrete.text.symbols import durations_of_spans

SYMBOLS, SYMBOL_LENS, DURATIONS = "symbols", "symbol_lens", "durations"
VOICES, SPOKEN_LANGUAGES = "voices", "spoken_languages"


@dataclasses.dataclass(frozen=True)
class WithSymbols:
    """Adds to a batch `symbols` (N, U) padded with 0, `symbol_lens` (N,), `durations` (N, U) in frames, 0 behind ends,
    and `voices` and `spoken_languages` (N,), all of them int64.
    """

    spec: FeatureSpec
    targets: SpokenTextTargets

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts with what is to be said of them. Raises ValueError for a cut without alignment."""
        spoken = self.targets.collate(batch)
        durations: List[Tensor] = []
        for cut, num_frames in zip(cuts, batch["frame_lens"].tolist()):
            try:
                spans = self.targets.spans(cut)
            except LeftOut as reason:
                raise ValueError(f"cut {cut.id}: {reason}; the filter leaves such cuts out.") from None
            durations.append(torch.tensor(durations_of_spans(spans, num_frames, self.spec.frame_rate_hz)))
        rows = [torch.tensor(one.symbols) for one in spoken]
        return {
            **batch,
            SYMBOLS: pad_sequence(rows, batch_first=True),
            SYMBOL_LENS: torch.tensor([len(row) for row in rows]),
            DURATIONS: pad_sequence(durations, batch_first=True),
            VOICES: torch.tensor([one.voice for one in spoken]),
            SPOKEN_LANGUAGES: torch.tensor([one.language for one in spoken]),
        }
