"""Utterances made of real ones, which a language model should find less probable.

Letters: T frames, K codebooks, P parts.
"""

import dataclasses
import itertools
import random
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, path_setting, setting
from icefall_discrete.text.alignments import Segment


@dataclasses.dataclass(frozen=True)
class RankingConfig:
    """How real utterances are put against others."""

    num_ranked: int = setting(200, "the first so many utterances of a set are put against others; 0: none", minimum=0)
    chunk_sec: float = setting(0.4, "seconds of a chunk, where it is not known when words are said", above=0)
    prompt_share: float = setting(
        0.5, "share of an utterance that is heard before it goes on as itself, or as another", above=0, maximum=0.95
    )
    alignments: str = path_setting("when words are said: CTM, TextGrid or labels of frames; empty: chunks are moved")
    tier: str = setting("words", "of a TextGrid: the tier of words")

    def __post_init__(self) -> None:
        check_settings(self)


def parts_of_words(segments: Sequence[Segment], num_frames: int, frame_rate_hz: float) -> List[int]:
    """Where P parts of an utterance begin, P - 1 frames above 0: in the middle between one word and the next."""
    middles = [(one.end_sec + after.begin_sec) / 2 for one, after in itertools.pairwise(segments)]
    frames = (round(middle * frame_rate_hz) for middle in middles)
    return sorted({frame for frame in frames if 0 < frame < num_frames})


def parts_of_chunks(num_frames: int, chunk_frames: float) -> List[int]:
    """The same for chunks of about `chunk_frames` frames."""
    parts = max(1, round(num_frames / max(1.0, chunk_frames)))
    return [round(place * num_frames / parts) for place in range(1, parts)]


def in_another_order(codes: Tensor, begins: Sequence[int], seed: int) -> Tuple[Tensor, bool]:
    """Codes (T, K) whose parts stand in another order, and whether there is another: not of one part, or equal ones."""
    parts = codes.tensor_split(list(begins))
    if len(parts) < 2:
        return codes, False
    order = list(range(len(parts)))
    while order == sorted(order):
        random.Random(seed).shuffle(order)
        seed += 1
    moved = torch.cat([parts[place] for place in order])
    return moved, not torch.equal(moved, codes)
