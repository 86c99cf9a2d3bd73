"""Voices with a prompt each: some seconds of training audio, so that who is named can be heard again later."""

from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.audio.resampling import Resampler
from icefall_discrete.base.tensor_files import read_tensors, write_tensors
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.targets.voices import VoiceTargets

FILE = "prompts.safetensors"
_RATES = "rates_hz"
_FULL_SCALE = 2**15
_ADVICE = "copy it anew from where it was trained, or train again in another --exp-dir"


def has_prompts(folder: Path) -> bool:
    """Whether voices were saved in an experiment folder with their prompts."""
    return (Path(folder) / FILE).is_file()


class Recorded(NamedTuple):
    """Samples (S,) int16 at a rate."""

    samples: Tensor
    sample_rate_hz: int


class PromptedVoices(VoiceTargets):
    """As VoiceTargets; `prompts` are those of the voices, by name."""

    def __init__(self, fact: str, counts: Mapping[str, int], prompts: Optional[Mapping[str, Recorded]] = None) -> None:
        super().__init__(fact, counts)
        self.prompts: Dict[str, Recorded] = dict(prompts or {})

    @classmethod
    def recorded(cls, fact: str, cuts: Iterable[Cut], least_sec: float, most_sec: float) -> "PromptedVoices":
        """The voices of the training data; the prompt of each is its shortest utterance that lasts `least_sec`.

        Where there is none that long, its longest ones follow each other; no more than `most_sec` is kept.
        Raises UnreadableAudio for audio that cannot be read.
        """
        kept = list(cuts)
        voices = VoiceTargets.from_cuts(fact, kept)
        by_name: Dict[str, List[Cut]] = {name: [] for name in voices.names}
        for cut in kept:
            by_name.get(str(facts_of(cut).get(fact)), []).append(cut)
        return cls(fact, voices.counts, {name: _prompt(of, least_sec, most_sec) for name, of in by_name.items()})

    def prompt(self, number: int, sample_rate_hz: int) -> Optional[Tensor]:
        """The prompt (S,) float32 of the voice of a number; None for nobody's, and where none is kept."""
        kept = self.prompts.get(self.names[number - 1]) if number else None
        if kept is None:
            return None
        samples = kept.samples.float() / _FULL_SCALE
        same = kept.sample_rate_hz == sample_rate_hz
        return samples if same else Resampler(kept.sample_rate_hz, sample_rate_hz)(samples)

    def save(self, folder: Path) -> None:
        """As NamedTargets; prompts.safetensors beside it, if it is not there."""
        super().save(folder)
        path = Path(folder) / FILE
        if self.prompts and not path.is_file():
            rates = torch.tensor([self.prompts[name].sample_rate_hz for name in self.names], dtype=torch.int64)
            held = {str(place): self.prompts[name].samples for place, name in enumerate(self.names)}
            write_tensors(path, {**held, _RATES: rates})

    @classmethod
    def load(cls, folder: Path) -> "PromptedVoices":
        """Voices and prompts of an experiment folder."""
        voices, path = super().load(folder), Path(folder) / FILE
        held = read_tensors(path, _ADVICE).tensors
        names = [str(place) for place in range(len(voices.names))]
        good = all(held[name].dtype == torch.int16 and held[name].dim() == 1 for name in names if name in held)
        if set(held) != {*names, _RATES} or not good or held[_RATES].shape != (len(names),):
            raise ValueError(f"{path} does not hold a prompt of each of the {len(names)} voices; {_ADVICE}.")
        rates = held[_RATES].tolist()
        voices.prompts = {name: Recorded(held[str(place)], rates[place]) for place, name in enumerate(voices.names)}
        return voices


def _prompt(cuts: List[Cut], least_sec: float, most_sec: float) -> Recorded:
    """Of utterances of one voice; all of them are at the rate of the first."""
    ranked = sorted(cuts, key=lambda cut: (cut.duration, cut.id))
    chosen = [cut for cut in ranked if cut.duration >= least_sec][:1]
    for cut in reversed(ranked if not chosen else []):
        chosen.append(cut)
        if sum(one.duration for one in chosen) >= least_sec:
            break
    rate = chosen[0].sampling_rate
    samples = torch.cat([load_finite(cut, rate) for cut in chosen])[: round(most_sec * rate)]
    return Recorded((samples * _FULL_SCALE).round().clamp(-_FULL_SCALE, _FULL_SCALE - 1).to(torch.int16), rate)
