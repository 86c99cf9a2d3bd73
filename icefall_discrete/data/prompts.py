"""Prompts: speech of the voice that is to be heard, from outside of what is said.

In training a prompt is of the same utterance, outside of the part that is said, or of others of the same speaker; for
the cuts of a manifest it is another one of the same speaker, the same in each run. S samples.
"""

import dataclasses
import random
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import torch
from lhotse import CutSet, MonoCut
from lhotse.utils import fastcopy
from torch import Tensor

from icefall_discrete.audio.reading import UnreadableAudio, load_finite, load_recording, open_recording
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import Batch, derived_seed
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.targets.prompted_voices import PromptedVoices

PROMPT, PROMPT_LENS = "prompt", "prompt_lens"
SHORTEST_SEC = 0.5
_PIECES = "prompt_pieces"
_MOST_PIECES = 8
_FROM_ITSELF = 0.5


class PromptRange(NamedTuple):
    """How long prompts are in training, in seconds: any length from `least` to `most`."""

    least: float
    most: float


def voice_name(cut: MonoCut, fact: str) -> Optional[str]:
    """Whose voice a cut has, by the fact that tells voices apart; None if that is not known."""
    value = facts_of(cut).get(fact)
    return None if value is None else str(value)


def by_voice(cuts: Sequence[MonoCut], fact: str) -> Dict[str, List[MonoCut]]:
    """The cuts of each voice, in their order; those of nobody are left out."""
    found: Dict[str, List[MonoCut]] = {}
    for cut in cuts:
        name = voice_name(cut, fact)
        if name is not None:
            found.setdefault(name, []).append(cut)
    return found


def with_prompts(parts: CutSet, cuts: CutSet, fact: str, seconds: PromptRange, *seeds: int) -> CutSet:
    """Parts of the training cuts, each with pieces of speech of its voice, for WithPrompts, drawn with `seeds`.

    Half of those whose utterance has enough besides are prompted with that first; what is missing comes from other
    utterances of the speaker. One who has no other is prompted with what is said itself.
    """
    wholes, others = {cut.id: cut for cut in cuts}, by_voice(list(cuts), fact)
    found = []
    for part in parts:
        drawn = random.Random(derived_seed(*seeds, *part.id.encode(), round(1000 * part.start)))
        of_voice = others.get(voice_name(part, fact) or "", [])
        pieces = _pieces(part, wholes[part.id], of_voice, drawn.uniform(*seconds), drawn)
        found.append(fastcopy(part, custom={**(part.custom or {}), _PIECES: pieces}))
    return CutSet.from_cuts(found)


def _pieces(
    part: MonoCut, whole: MonoCut, others: Sequence[MonoCut], wanted: float, drawn: random.Random
) -> List[MonoCut]:
    pieces: List[MonoCut] = []
    before, behind = part.start - whole.start, whole.end - part.end
    start, room = (whole.start, before) if before >= behind else (part.end, behind)
    itself = fastcopy(whole, start=round(start, 8), duration=round(room, 8), custom=None)
    if room >= SHORTEST_SEC and drawn.random() < _FROM_ITSELF:
        pieces.append(_drawn_piece(itself, wanted, drawn))
    candidates = drawn.sample(range(len(others)), min(_MOST_PIECES + 1, len(others)))
    for place in candidates:
        missing = wanted - sum(piece.duration for piece in pieces)
        if missing <= 0 or len(pieces) >= _MOST_PIECES:
            break
        if others[place].id != part.id:
            pieces.append(_drawn_piece(fastcopy(others[place], custom=None), missing, drawn))
    if pieces:
        return pieces
    return [_drawn_piece(itself if room >= SHORTEST_SEC else fastcopy(part, custom=None), wanted, drawn)]


def _drawn_piece(cut: MonoCut, longest_sec: float, drawn: random.Random) -> MonoCut:
    if cut.duration <= longest_sec:
        return cut
    # Of whole samples, so that what is read has as many as it says.
    rate, longest = cut.sampling_rate, max(1, int(longest_sec * cut.sampling_rate))
    start = drawn.randrange(round(cut.duration * rate) - longest + 1)
    return fastcopy(cut, start=round(cut.start + start / rate, 8), duration=longest / rate)


@dataclasses.dataclass(frozen=True)
class WithPrompts:
    """Adds `prompt` (N, S) float32, zeros behind ends, and `prompt_lens` (N,), samples.

    A cut without pieces of `with_prompts`, as in validation, has the prompt of its voice; one of an unknown voice has
    its own beginning.
    """

    spec: FeatureSpec
    voices: PromptedVoices
    longest_sec: float

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts with their prompts."""
        rows = [self._prompt(cut) for cut in cuts]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {**batch, PROMPT: padded, PROMPT_LENS: torch.tensor([len(row) for row in rows])}

    def _prompt(self, cut: MonoCut) -> Tensor:
        rate = self.spec.sample_rate_hz
        kept = None if _PIECES in (cut.custom or {}) else self.voices.prompt(self.voices.of(cut), rate)
        if kept is not None:
            return kept
        longest = round(self.longest_sec * rate)
        pieces = (cut.custom or {}).get(_PIECES) or [cut]
        found = torch.cat([load_finite(piece, rate) for piece in pieces])[:longest]
        return _long_enough(found, rate)


def _long_enough(samples: Tensor, rate: int) -> Tensor:
    """The samples, repeated to the shortest length that prompts have: a word or a cough may be all there is."""
    missing = round(SHORTEST_SEC * rate) / max(1, len(samples))
    return samples if missing <= 1 else samples.repeat(int(missing) + 1)


def read_prompt(path: Path, sample_rate_hz: int) -> Tensor:
    """Samples (S,) of a prompt's file, resampled if need be.

    Raises ValueError, naming it, if it cannot be read, is too short, silent or not finite.
    """
    try:
        samples = load_recording(open_recording(path, str(path)), sample_rate_hz)
    except UnreadableAudio as error:
        raise ValueError(f"prompt {path}: {str(error).rstrip('.')}.") from None
    seconds = len(samples) / sample_rate_hz
    if seconds < SHORTEST_SEC:
        raise ValueError(
            f"prompt {path}: {seconds:.2f} s of audio, expected at least {SHORTEST_SEC} s of the voice that is to be "
            "heard; give more of it, three seconds are good."
        )
    if not bool(samples.isfinite().all()) or not bool(samples.any()):
        raise ValueError(f"prompt {path}: it is silent, or holds samples that are not finite; give some speech.")
    return samples


def prompt_among(cut: MonoCut, others: Sequence[MonoCut], least_sec: float) -> Optional[MonoCut]:
    """Of utterances of the cut's voice the shortest that lasts `least_sec`, else the longest; None without any other.

    The published choice, but for those below three seconds.
    """
    ranked = sorted((one for one in others if one.id != cut.id), key=lambda one: (one.duration, one.id))
    long_enough = [one for one in ranked if one.duration >= least_sec]
    return (long_enough[:1] or ranked[-1:] or [None])[0]
