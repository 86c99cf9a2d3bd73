"""Language-Codec: SEANet, three codebooks on a third of the channels each, further ones on what they leave; Vocos back.

Ji et al. 2024, https://arxiv.org/abs/2402.12208; checkpoints of github jishengpeng/Languagecodec, as PyTorch Lightning
saves them. 24 kHz, 75 Hz, T = ceil(S / 320). T frames, D dimensions, K codebooks.
"""

import dataclasses
from pathlib import Path
from typing import List

import torch
from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer
from icefall_discrete.tokenizers.networks.residual_vq import ResidualVq, nearest
from icefall_discrete.tokenizers.wavtokenizer import load_codec

# Codebooks that see a part of the channels only.
PARTS = 3


@dataclasses.dataclass(frozen=True)
class LanguagecodecConfig:
    """Language-Codec."""

    model: str = setting(
        "languagecodec_paper.ckpt", "Language-Codec weights: a file, or ORG/NAME/PATH of a file on the hub."
    )
    num_codebooks: int = setting(0, "Codebooks used (K), 0: all.")


class MaskedVq(ResidualVq):
    """The first three codebooks each see a third of the channels, zeros in place of the others; then residual VQ.

    Entries have all D dimensions, so that what an entry adds outside of its third is left for the fourth codebook.
    """

    def encode(self, states: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, num_codebooks) int64 of states (T, D), by the first `num_codebooks`."""
        dim, books, codes = states.shape[1], self.codebooks(), []
        ends = [part * dim // PARTS for part in range(PARTS + 1)]
        left = states
        for book, begin, end in zip(books[:num_codebooks], ends, ends[1:]):
            seen = torch.zeros_like(states)
            seen[:, begin:end] = states[:, begin:end]
            codes.append(nearest(seen, book))
            left = left - book[codes[-1]]
        for book in books[PARTS:num_codebooks]:
            codes.append(nearest(left, book))
            left = left - book[codes[-1]]
        return torch.stack(codes, dim=1)


class LanguagecodecTokenizer(CodecTokenizer):
    """Codes (T, num_codebooks) of Language-Codec."""

    Config = LanguagecodecConfig
    kind = "Language-Codec"

    def _load(self, files: List[Path]) -> Codec:
        return load_codec(files[0], lambda plain: MaskedVq(plain.codebooks()))
