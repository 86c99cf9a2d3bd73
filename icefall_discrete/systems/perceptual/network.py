"""What both perceptual models have in common: an encoder of frames of which the first codes, and a prompt, are known.

Letters: N utterances, T frames, K codebooks of V_k entries, D dimension.
"""

import abc
import dataclasses
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from icefall_discrete.base.settings import LARGEST_SEED, check_settings, require_temperature, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.systems.enhancement import network as enhancer
from icefall_discrete.systems.perceptual.solver import SOLVERS
from icefall_discrete.text.text_ids import BYTES

Draws = Sequence[torch.Generator]
Texts = Sequence[Tensor]
FILLINGS = ("soundstorm", "nar", "flow_matching")


@dataclasses.dataclass(frozen=True)
class ModelConfig(enhancer.ModelConfig):
    """Shape of the network."""

    filling: str = setting(
        "soundstorm",
        "how codes are found: soundstorm: codebook by codebook, the surest first; nar: a codebook at once, VALL-E's; "
        "flow_matching: latents, by a flow from noise",
        choices=FILLINGS,
    )
    reads_text: bool = setting(
        False, "soundstorm, nar: the text of an utterance stands before its frames, as in VALL-E's second network"
    )


@dataclasses.dataclass(frozen=True)
class FillConfig:
    """How codes are found of those that are known."""

    prompt_sec: float = setting(
        3.0, "seconds of which all codes are known, at the beginning; at most half of an utterance", minimum=0
    )
    draw_seed: int = setting(0, "of the draws; each utterance has its own", minimum=0, maximum=LARGEST_SEED)
    iterations: Tuple[int, ...] = setting(
        (16, 1), "soundstorm: passes of the second codebook, and so on; the last is that of all behind it", minimum=1
    )
    code_temperature: float = setting(
        1.0, "soundstorm: scores of codes are divided by it; 0: always the most probable", minimum=0
    )
    confidence_temperature: float = setting(
        1.0, "soundstorm: noise in what is surest, which falls to 0 with the passes; 0: none", minimum=0
    )
    num_steps: int = setting(16, "flow_matching: steps from noise to latents", minimum=1)
    solver: str = setting("midpoint", "flow_matching: how a step is made; midpoint asks twice", choices=SOLVERS)

    def __post_init__(self) -> None:
        check_settings(self)
        require_temperature("code_temperature", self.code_temperature)
        if not self.iterations:
            raise ValueError("iterations is empty, expected one number of passes or more, such as 16,1.")


class Cost(NamedTuple):
    """Of each utterance (N,): a loss, and how many codes or frames it is a sum of."""

    sums: Tensor
    counts: Tensor


class Filler(AcousticEncoder, abc.ABC):
    """A network that finds the codes of all codebooks but the first, behind a prompt whose codes are known.

    Args:
      config: the settings. spec: of the codes. embedding: of what is known.

    Texts, where they are read, are ids (L,) of `text_ids`, of each utterance its own.
    """

    config: ModelConfig

    def __init__(self, config: ModelConfig, spec: FeatureSpec, embedding: InputEmbedding) -> None:
        super().__init__(config, embedding, EmbeddingAugment(AugmentConfig(num_embedding_masks=0)), spec.frame_rate_hz)
        self.codebook_sizes = spec.codebook_sizes
        self.letters = nn.Embedding(BYTES.size + 1, embedding.out_dim) if config.reads_text else None

    def frames_of(self, known: Tensor, lens: Tensor, texts: Sequence[Tensor]) -> Tensor:
        """What the encoder makes of frames (N, T, D) with lens (N,), (N, T, E); texts are read before them."""
        if self.letters is None:
            return self.encode_vectors(known, lens).encoder_out
        befores = [self.letters(text.to(known.device)) for text in texts]
        rows = [torch.cat([before, one[:length]]) for before, one, length in zip(befores, known, lens.tolist())]
        totals = torch.tensor([len(row) for row in rows], device=lens.device)
        found = self.encode_vectors(pad_sequence(rows, batch_first=True), totals).encoder_out
        behind = [one[len(before) : total] for one, before, total in zip(found, befores, totals.tolist())]
        padded = pad_sequence(behind, batch_first=True)
        return torch.nn.functional.pad(padded, (0, 0, 0, known.shape[1] - padded.shape[1]))

    @abc.abstractmethod
    def cost(self, codes: Tensor, lens: Tensor, prompts: Tensor, draws: Draws, texts: Texts = ()) -> Cost:
        """The loss of codes (N, T, K) with lens (N,) behind prompts of so many frames (N,).

        Args:
          draws: a generator for each utterance, on the CPU, from which all that is random of it comes.
          texts: of each utterance, prompt included, where they are read.
        """

    @abc.abstractmethod
    def filled(
        self, codes: Tensor, lens: Tensor, prompts: Tensor, config: FillConfig, draws: Draws, texts: Texts = ()
    ) -> Tensor:
        """Codes (N, T, K) of which the first codebook, and the prompt, are as they were; as `cost` for the rest."""


def behind_prompts(codes: Tensor, lens: Tensor, prompts: Tensor) -> Tensor:
    """Which frames of codes (N, T, K) are to be found, (N, T) bool: behind the prompts (N,), before the ends (N,)."""
    places = torch.arange(codes.shape[1], device=codes.device)
    return (places >= prompts.unsqueeze(1)) & (places < lens.unsqueeze(1))


def drawn(draws: Sequence[torch.Generator], lens: Sequence[int], dim: int, device: torch.device) -> Tensor:
    """Noise (N, T, D) of each utterance's own generator, 0 behind the ends."""
    noise = torch.zeros(len(draws), max(lens), dim)
    for row, generator, length in zip(noise, draws, lens):
        row[:length] = torch.randn(length, dim, generator=generator)
    return noise.to(device)


def generators(seeds: Sequence[int]) -> List[torch.Generator]:
    """One for each of the seeds."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def text_ids(text: Optional[str], name: str) -> Tensor:
    """A text as ids (L,): its bytes, and an end. Raises ValueError, naming the utterance, where there is none."""
    if not text or not text.strip():
        raise ValueError(f"{name} has no text, which the model reads (reads_text); give it one, or leave it out.")
    return torch.tensor([*BYTES.ids(text), BYTES.size])
