"""The network: codes as steps, a decoder over them, and scores of the ids of the next step.

Letters: N utterances, T frames, K codebooks, S steps, K' streams (patterns.py), D dimension of the decoder.
"""

import dataclasses
from typing import List, NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.adaptation import AdaptationConfig, adapt
from icefall_discrete.nn.code_embedding import CodeEmbedding
from icefall_discrete.nn.decoder.config import DecoderConfig
from icefall_discrete.nn.decoder.network import Cache, Decoder
from icefall_discrete.nn.frame_network import FrameNetwork, InputConfig, build_input_embedding
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.systems.unit_lm.patterns import PATTERNS, Pattern, padded

_INIT = 0.02


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape of a language model of codes.

    Without `embedding_dim` and `codebook_dim` vectors of codes are of the decoder's dimension.
    """

    input: InputConfig = section(
        lambda: InputConfig(embedding_dim=0, codebook_combination="sum"), "from codes to vectors"
    )
    decoder: DecoderConfig = section(DecoderConfig, "the layers")
    pattern: str = setting(
        "delay", "order of the codes of K codebooks: delay, codebook k by k steps; flat; parallel", choices=PATTERNS
    )
    adaptation: AdaptationConfig = section(
        lambda: AdaptationConfig(lora_layers=("*.query", "*.value")), "LoRA within the layers"
    )
    tied: bool = setting(True, "scores are taken with the vectors of codes; these are of the decoder's dimension then")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.input.input_frame_rate_hz or self.input.input_positions:
            raise ValueError(
                "input_frame_rate_hz and input_positions are not for language models of codes, which tell each code; "
                "leave them away."
            )

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """As many as there are."""
        return num_frames


class Told(NamedTuple):
    """Of each utterance (N,): nats of its codes and its end, and how many these are."""

    nats: Tensor
    codes: Tensor


class UnitLm(FrameNetwork):
    """A decoder over codes.

    Args:
      config: the settings. codebook_sizes: V_k. embedding: of the streams' ids. voice_dim: E of the vectors of voices
        that sequences may begin with; 0: with none.
    """

    input_embedding: CodeEmbedding
    choosable: Tensor

    def __init__(
        self, config: ModelConfig, codebook_sizes: Sequence[int], embedding: CodeEmbedding, voice_dim: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        self.pattern = Pattern(config.pattern, tuple(codebook_sizes))
        self.input_embedding = embedding
        dim, num_ids = config.decoder.dim, sum(self.pattern.stream_sizes)
        self.in_proj = nn.Identity() if embedding.out_dim == dim else nn.Linear(embedding.out_dim, dim)
        self.decoder = Decoder(config.decoder)
        self.voice: Optional[nn.Linear] = nn.Linear(voice_dim, dim, bias=False) if voice_dim else None
        self.head: Optional[nn.Linear] = None if config.tied else nn.Linear(dim, num_ids, bias=False)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=_INIT)
        period = len(codebook_sizes) if self.pattern.is_flat else 1
        self.register_buffer(
            "choosable", torch.stack([self.pattern.choosable(step) for step in range(period)]), persistent=False
        )

    def scores(
        self,
        steps: Tensor,
        cache: Optional[Cache] = None,
        starts: Optional[Tensor] = None,
        last_only: bool = False,
        voices: Optional[Tensor] = None,
    ) -> Tensor:
        """Scores (N, S, sum V') of what follows each of the steps (N, S, K'); see Decoder for the rest.

        Args:
          last_only: of the last step alone, S = 1. voices: vectors (N, E) beside the first of the sequences' steps, at
            `starts`; a row of zeros adds nothing.
        """
        vectors = self.in_proj(self.input_embedding(steps))
        if voices is not None and self.voice is not None:
            first = torch.zeros(len(steps), dtype=torch.int64) if starts is None else starts
            begins = F.one_hot(first.to(steps.device), steps.shape[1]).to(vectors).unsqueeze(2)
            vectors = vectors + begins * self.voice(voices.to(vectors)).unsqueeze(1)
        known = self.decoder(vectors, cache, starts)
        known = known[:, -1:] if last_only else known
        table = self.input_embedding.table[:-1] if self.head is None else self.head.weight
        return F.linear(known, table)

    def steps_of(self, codes: Tensor, lens: Tensor) -> Tensor:
        """Steps (N, S, K') of padded codes (N, T, K) with lens (N,)."""
        rows = [self.pattern.arranged(row[:length]) for row, length in zip(codes.cpu(), lens.tolist())]
        return padded(rows, self.pattern.stream_sizes).to(codes.device)

    def tell(self, steps: Tensor, shown: Optional[Tensor] = None, voices: Optional[Tensor] = None) -> Tensor:
        """Nats (N, S, K') of each id of steps (N, S, K'), each after all before it; 0 for padding.

        `shown`: what the model sees instead of the steps, some of them hidden. `voices`: as of `scores`.
        """
        first = self.pattern.first_step().to(steps.device).expand(len(steps), 1, -1)
        seen = torch.cat([first, (steps if shown is None else shown)[:, :-1]], dim=1)
        scores = self.scores(seen, voices=voices).float()
        if self.pattern.is_flat:
            allowed = self.choosable[torch.arange(steps.shape[1], device=steps.device) % len(self.choosable)]
            scores = scores.masked_fill(~allowed, float("-inf"))
        parts = scores.split(self.pattern.stream_sizes, dim=2)
        nats: List[Tensor] = []
        for part, targets, size in zip(parts, steps.unbind(dim=2), self.pattern.stream_sizes):
            nats.append(F.cross_entropy(part.transpose(1, 2), targets, ignore_index=size, reduction="none"))
        return torch.stack(nats, dim=2)

    def forward(self, codes: Tensor, lens: Tensor) -> Told:
        """What codes (N, T, K), padded, with lens (N,), cost."""
        steps = self.steps_of(codes, lens)
        there = steps != torch.tensor(self.pattern.stream_sizes, device=steps.device)
        return Told(self.tell(steps).sum(dim=(1, 2)), there.sum(dim=(1, 2)))


def _with_end(books: Sequence[Tensor], is_flat: bool) -> List[Tensor]:
    """The tokenizer's codebooks as the streams have them: END has zeros."""
    if not is_flat:
        return [torch.cat([books[0], books[0].new_zeros(1, books[0].shape[1])]), *books[1:]]
    width = max(book.shape[1] for book in books)
    wide = [F.pad(book, (0, width - book.shape[1])) for book in books]
    return [torch.cat([*wide, wide[0].new_zeros(1, width)])]


def build_unit_lm(
    config: ModelConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None, voice_dim: int = 0
) -> UnitLm:
    """The network for codes of `spec`; `codebooks` as for build_input_embedding, `voice_dim` as for UnitLm.

    Raises:
      ValueError: for features that are no codes, and for `tied` with vectors of another dimension than the decoder's.
    """
    if spec.kind != "codes":
        raise ValueError(
            f"'{spec.name}' are {spec.kind} features, and a language model of units tells codes; take a type of codes."
        )
    pattern = Pattern(config.pattern, spec.codebook_sizes)
    sizes = pattern.stream_sizes
    streams = dataclasses.replace(spec, codebook_sizes=sizes, num_codebooks=len(sizes))
    books = None if codebooks is None else _with_end(codebooks, pattern.is_flat)
    given = config.input
    if not given.embedding_dim and not given.codebook_dim:
        given = dataclasses.replace(given, codebook_dim=config.decoder.dim)
    embedding = build_input_embedding(given, streams, books)
    assert isinstance(embedding, CodeEmbedding), "the spec is of codes"
    if config.tied and embedding.table.shape[1] != config.decoder.dim:
        raise ValueError(
            f"the vectors of codes have {embedding.table.shape[1]} dimensions and the decoder {config.decoder.dim}, "
            ""
            "so that they cannot serve as scores; set codebook_dim to the latter, or tied to false."
        )
    if not config.input.uses_codebooks(spec) or books is None:
        nn.init.normal_(embedding.table, std=_INIT)
        with torch.no_grad():
            embedding.table[-1] = 0.0
    network = UnitLm(config, spec.codebook_sizes, embedding, voice_dim)
    adapt(network.decoder, config.adaptation)
    return network
