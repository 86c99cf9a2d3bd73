"""The network: codes of which some are hidden, an encoder, and for each hidden frame the scores of its codes.

The encoder is that of every system of codes, so that a recogniser can begin with its parts. Where it gives a frame for
every S frames of codes, each of its frames tells of S.

Letters: N utterances, T frames of codes, K codebooks, V_k their sizes, M hidden frames, D dimension of the encoder.
"""

from typing import NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.frame_network import build_input_embedding


class CodeHead(nn.Module):
    """From an encoder's frame to the scores of the codes of one of its S frames: linear, GELU, norm, linear, as BERT's.

    Args:
      dim: D. frames_each: S. num_codes: sum of V_k.
    """

    def __init__(self, dim: int, frames_each: int, num_codes: int) -> None:
        super().__init__()
        self.frames_each = frames_each
        self.dense = nn.Linear(dim, frames_each * dim)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, num_codes)

    def forward(self, states: Tensor, places: Tensor) -> Tensor:
        """Scores (M, sum V_k) from encoder frames (M, D) and places (M,), which of its S frames is asked for."""
        x = self.dense(states).unflatten(1, (self.frames_each, -1))
        x = x[torch.arange(len(places), device=places.device), places]
        return self.out(self.norm(F.gelu(x)))


class Found(NamedTuple):
    """Of each utterance (N,): nats lost over its hidden frames, mean over codebooks; hidden frames whose codes were
    looked for; codes that were found, mean over codebooks."""

    nats: Tensor
    hidden: Tensor
    correct: Tensor


class DiscreteBert(AcousticEncoder):
    """An encoder of codes and a head that finds hidden ones; arguments are those of AcousticEncoder.

    The mask is a vector that is learned, in the place of that of the codes; it begins as that of padding.
    """

    config: AcousticEncoderConfig

    def __init__(
        self,
        config: AcousticEncoderConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
        codebook_sizes: Sequence[int],
    ) -> None:
        super().__init__(config, input_embedding, augment, frame_rate_hz)
        self.codebook_sizes = tuple(codebook_sizes)
        self.mask_vector = nn.Parameter(torch.zeros(input_embedding.out_dim))
        self.head = CodeHead(config.encoder.out_dim, config.frames_each, sum(codebook_sizes))

    def find(self, codes: Tensor, lens: Tensor, shown: Tensor, hidden: Tensor, masked: Tensor) -> Found:
        """Look for the codes of hidden frames.

        Args:
          codes: (N, T, K), padded with padding ids; lens (N,). shown: the same as the encoder sees them, some replaced.
          hidden, masked: (N, T) bool, frames whose codes are looked for, and those of them that show the mask.
        """
        x = self.input_embedding(shown)
        x = torch.where(masked.unsqueeze(2), self.mask_vector.to(x.dtype), x)
        encoded = self.encode_vectors(x, lens)
        each = self.config.frames_each
        rows, frames = hidden.nonzero(as_tuple=True)
        sources = torch.div(frames, each, rounding_mode="floor")
        heard = sources < encoded.lens.to(sources.device)[rows]
        rows, frames, sources = rows[heard], frames[heard], sources[heard]
        scores = self.head(encoded.encoder_out[rows, sources], frames - sources * each).float()
        targets = codes[rows, frames]
        parts = scores.split(self.codebook_sizes, dim=1)
        pairs = list(zip(parts, targets.t()))
        nats = torch.stack([F.cross_entropy(part, target, reduction="none") for part, target in pairs]).mean(dim=0)
        right = torch.stack([part.detach().argmax(dim=1) == target for part, target in pairs]).float().mean(dim=0)
        sums = scores.new_zeros(3, len(codes)).index_add(1, rows, torch.stack([nats, torch.ones_like(right), right]))
        return Found(sums[0], *sums[1:].detach())


def build_discrete_bert(
    config: AcousticEncoderConfig, spec: FeatureSpec, codebooks: Optional[Sequence[Tensor]] = None
) -> DiscreteBert:
    """The network for codes of `spec`; `codebooks` as for build_input_embedding.

    Raises:
      ValueError: for features that are no codes, and where frames are resampled.
    """
    if spec.kind != "codes":
        raise ValueError(
            f"'{spec.name}' are {spec.kind} features, and Discrete BERT finds codes; take a type of codes."
        )
    if config.input.input_frame_rate_hz:
        raise ValueError(
            f"input_frame_rate_hz is {config.input.input_frame_rate_hz:g}, but Discrete BERT tells of each frame of "
            "codes; set it to 0."
        )
    embedding = build_input_embedding(config.input, spec, codebooks)
    augment = EmbeddingAugment(AugmentConfig(augment_prob=0.0))
    return DiscreteBert(config, embedding, augment, spec.frame_rate_hz, spec.codebook_sizes)
