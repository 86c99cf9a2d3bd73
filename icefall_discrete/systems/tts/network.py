"""The network from texts to units, after FastSpeech: https://arxiv.org/abs/1905.09263.

Symbols of the text -> encoder -> duration of each -> one vector a frame -> encoder -> K codes a frame, all at once.
Letters: N utterances, U symbols, T frames, K codebooks, V_k size of codebook k, D dimension.
"""

import dataclasses
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, choice, require_odd, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.code_embedding import InputEmbedding
from icefall_discrete.nn.durations import DurationPredictor
from icefall_discrete.nn.encoders.contract import ENCODERS, EncoderConfig, build_encoder
from icefall_discrete.nn.frame_network import FrameNetwork, InputConfig
from icefall_discrete.nn.length_regulator import NUM_FACTS, Places
from icefall_discrete.nn.lengths import Lens


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape of the network."""

    text_encoder: EncoderConfig = choice("transformer", "network over the symbols of the text", ENCODERS)
    unit_encoder: EncoderConfig = choice("conformer", "network over frames, from which units are told", ENCODERS)
    duration_dim: int = setting(256, "width of the network that says how long symbols last", minimum=1)
    duration_kernel: int = setting(3, "kernel of its two convolutions", minimum=1)
    duration_dropout: float = setting(0.5, "dropout behind each", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        require_odd(self, "duration_kernel")
        for name in ("text_encoder", "unit_encoder"):
            stride = getattr(self, name).stride
            if stride != 1:
                raise ValueError(
                    f"{name} gives one frame for {stride}, expected one for each; choose a kind such as conformer."
                )

    @property
    def input(self) -> InputConfig:
        """No codes go in: nothing is made of codebooks."""
        return InputConfig()

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """As many as there are."""
        return num_frames


class SymbolEmbedding(InputEmbedding):
    """Vectors (N, U, D) of symbols (N, U), zeros for padding, 0."""

    def __init__(self, num_symbols: int, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.table = nn.Embedding(num_symbols, dim, padding_idx=0)

    def forward(self, symbols: Tensor) -> Tensor:
        """See the class."""
        return self.table(symbols)


class TextToUnits(FrameNetwork):
    """See the module.

    Args:
      num_symbols, num_voices, num_languages: rows of their tables. codebook_sizes: V_k.
    """

    def __init__(
        self,
        config: ModelConfig,
        num_symbols: int,
        num_voices: int,
        num_languages: int,
        codebook_sizes: Tuple[int, ...],
    ) -> None:
        super().__init__()
        self.config, self.codebook_sizes = config, codebook_sizes
        in_dim, dim, frame_dim = config.text_encoder.in_dim, config.text_encoder.out_dim, config.unit_encoder.in_dim
        self.input_embedding = SymbolEmbedding(num_symbols, in_dim)
        self.languages = nn.Embedding(num_languages, in_dim)
        self.text_encoder = build_encoder(config.text_encoder)
        self.voices = nn.Embedding(num_voices, dim)
        sizes = (config.duration_dim, config.duration_kernel, config.duration_dropout)
        self.durations = DurationPredictor(dim, *sizes)
        self.of_symbol = nn.Linear(dim, frame_dim)
        self.of_place = nn.Linear(NUM_FACTS, frame_dim, bias=False)
        self.unit_encoder = build_encoder(config.unit_encoder)
        self.units = nn.Linear(config.unit_encoder.out_dim, sum(codebook_sizes))

    def encode(self, symbols: Tensor, lens: Tensor, voices: Tensor, languages: Tensor) -> Tensor:
        """Vectors (N, U, D) of symbols (N, U) with lens (N,), in voices (N,) and languages (N,)."""
        x = self.input_embedding(symbols) + self.languages(languages).unsqueeze(1)
        encoded, _, _ = self.text_encoder(x, lens)
        return encoded + self.voices(voices).unsqueeze(1)

    def log_durations(self, encoded: Tensor, lens: Tensor) -> Tensor:
        """log(d + 1) (N, U) of the durations d, in frames, of what `encode` gave."""
        return self.durations(encoded, lens)

    def frames(self, encoded: Tensor, places: Places) -> Tensor:
        """Vectors (N, T, D) of frames, at places of what `encode` gave."""
        x = places.spread(self.of_symbol(encoded)) + self.of_place(places.facts)
        return self.unit_encoder(x, places.lens)[0]

    def unit_logits(self, frames: Tensor) -> Tuple[Tensor, ...]:
        """Unnormalised log-probs (..., V_k) of the codes of each codebook, of vectors of frames (..., D)."""
        return self.units(frames).split(self.codebook_sizes, dim=-1)


def build_text_to_units(
    config: ModelConfig, spec: FeatureSpec, num_symbols: int, num_voices: int, num_languages: int
) -> TextToUnits:
    """Build the network for codes of `spec`. Raises ValueError if these are no codes of a constant rate."""
    if spec.kind != "codes" or spec.has_variable_rate:
        what = "has a variable rate" if spec.kind == "codes" else "are continuous features"
        raise ValueError(
            f"'{spec.name}' {what}, and texts are made to codes of a constant rate; choose a feature type of those."
        )
    return TextToUnits(config, num_symbols, num_voices, num_languages, tuple(spec.codebook_sizes))


def unit_loss(logits: Tuple[Tensor, ...], codes: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy (M,) in nats of codes (M, K) of M frames, a mean over codebooks; logits: K tensors (M, V_k)."""
    losses = [
        F.cross_entropy(of_one.float(), codes[:, book], reduction="none", label_smoothing=smoothing)
        for book, of_one in enumerate(logits)
    ]
    return torch.stack(losses).mean(dim=0)
