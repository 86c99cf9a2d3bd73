"""Units of one text. Each text is computed alone, whatever it comes with.

U symbols, T frames, K codebooks.
"""

import dataclasses

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.data.targets.spoken_text import Spoken
from icefall_discrete.nn.length_regulator import places_of
from icefall_discrete.systems.tts.network import TextToUnits


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
    """How texts are said."""

    longest_text: int = setting(1000, "longer texts, in letters or phones, are refused", minimum=1)
    speech_rate: float = setting(
        1.0, "how fast texts are said: 2 is twice as fast as in training", minimum=0.1, maximum=10
    )

    def __post_init__(self) -> None:
        check_settings(self)


def rounded_durations(durations: Tensor) -> Tensor:
    """Whole frames (U,) of durations (U,) in frames, whose sums up to any symbol are rounded: at least one together."""
    ends = durations.clamp(min=0).cumsum(dim=0).round()
    ends[-1] = ends[-1].clamp(min=1)
    return torch.diff(ends, prepend=ends.new_zeros(1)).long()


@torch.no_grad()
def units_of(network: TextToUnits, spoken: Spoken, config: SynthesisConfig) -> Tensor:
    """Codes (T, K) of a text, each the most probable one, on the CPU; the network is in evaluation mode.

    Raises ValueError, a sentence, for a text that is too long.
    """
    if len(spoken.symbols) > config.longest_text:
        raise ValueError(
            f"the text has {len(spoken.symbols)} symbols, expected at most {config.longest_text} (--longest-text); "
            "divide it at the ends of its sentences."
        )
    device = next(network.parameters()).device
    lens = torch.tensor([len(spoken.symbols)], device=device)
    voice, language = (torch.tensor([number], device=device) for number in (spoken.voice, spoken.language))
    encoded = network.encode(torch.tensor([spoken.symbols], device=device), lens, voice, language)
    durations = network.log_durations(encoded, lens)[0].float().exp() - 1
    places = places_of(rounded_durations(durations / config.speech_rate)[None])
    logits = network.unit_logits(network.frames(encoded, places)[0])
    return torch.stack([one.argmax(dim=1) for one in logits], dim=1).cpu()
