"""Codes of vq-wav2vec: two groups of 320 entries at 100 Hz in the published models, by Gumbel softmax or by k-means.

Baevski et al. 2020, https://arxiv.org/abs/1910.05453.
"""

import dataclasses
import functools
from pathlib import Path
from typing import List

from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.contract import Placement, SpeechTokenizer
from icefall_discrete.tokenizers.formats.pretrained import portable_name, sha256_of
from icefall_discrete.tokenizers.networks.wav2vec import (
    FIELD_SAMPLES,
    SAMPLE_RATE_HZ,
    STRIDE_SAMPLES,
    Wav2VecModel,
    locate_wav2vec,
)


@dataclasses.dataclass(frozen=True)
class VqWav2vecConfig:
    """Codes of vq-wav2vec."""

    model: str = setting("vq-wav2vec_kmeans.pt", "Checkpoint: a .pt file of fairseq, or ORG/NAME/FILE of the hub.")


class VqWav2vecTokenizer(SpeechTokenizer):
    """K codes a frame, T = (S - 465) // 160 + 1, 100 Hz."""

    Config = VqWav2vecConfig
    origin = "encoder"

    @property
    def min_samples(self) -> int:
        """The window of one frame."""
        return FIELD_SAMPLES

    @functools.cached_property
    def _files(self) -> List[Path]:
        return locate_wav2vec(self.config.model)

    @functools.cached_property
    def _model(self) -> Wav2VecModel:
        path = self._files[0]
        model = Wav2VecModel(path)
        if model.quantizer is None:
            raise ValueError(f"{path} is wav2vec without a quantizer; use the tokenizer wav2vec_kmeans.")
        model.move(self.placement)
        return model

    def why_not_elsewhere(self) -> str:
        """See SpeechTokenizer."""
        return ""

    def _move(self, placement: Placement) -> None:
        vars(self).pop("_model", None)

    @functools.cached_property
    def _weights_sha256(self) -> str:
        return sha256_of(self._files)

    @property
    def spec(self) -> FeatureSpec:
        """One codebook a group; reads the model, for their number and sizes."""
        sizes = tuple(len(book) for book in self._model.quantizer.codebooks())
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=SAMPLE_RATE_HZ / STRIDE_SAMPLES,
            num_codebooks=len(sizes),
            codebook_sizes=sizes,
            feature_dim=0,
            provenance={
                "tokenizer": "vq_wav2vec",
                "model": portable_name(self.config.model),
                "model_sha256": self._weights_sha256,
                "normalisation": "none",
                **self._precision(),
            },
            made_with=self._made_with(),
        )

    def codebooks(self) -> List[Tensor]:
        """The entries (V, D / K) of each group."""
        return [book.cpu().clone() for book in self._model.quantizer.codebooks()]

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._model.quantizer(self._model.features(samples)).cpu()
