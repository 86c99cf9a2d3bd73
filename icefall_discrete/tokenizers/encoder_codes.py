"""Codes of a vq-wav2vec that was trained here: those of the quantizer in its front end.

Baevski et al. 2020, https://arxiv.org/abs/1910.05453. The model is a folder that `local/average.py --to` handed on.
"""

import dataclasses
import functools
from typing import List

from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.contract import Placement, SpeechTokenizer
from icefall_discrete.tokenizers.frames.encoder import EncoderFrames, EncoderSettings


@dataclasses.dataclass(frozen=True)
class EncoderCodesConfig:
    """Codes of a quantizer in a front end."""

    model: str = setting("", "Folder of a vq-wav2vec that local/average.py --to wrote.")


class EncoderCodesTokenizer(SpeechTokenizer):
    """A code of each group for each frame, whole utterances at once."""

    Config = EncoderCodesConfig
    origin = "encoder"

    @functools.cached_property
    def _encoder(self) -> EncoderFrames:
        found = EncoderFrames(EncoderSettings(self.config.model))
        found.move(self.placement)
        return found

    @property
    def min_samples(self) -> int:
        """What gives a frame."""
        return self._encoder.min_samples

    def why_not_elsewhere(self) -> str:
        """See SpeechTokenizer."""
        return ""

    def _move(self, placement: Placement) -> None:
        self._encoder.move(placement)

    @property
    def spec(self) -> FeatureSpec:
        """One codebook a group; reads the model, for their number and sizes."""
        sizes = tuple(len(book) for book in self.codebooks())
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=self.sample_rate_hz,
            frame_rate_hz=self._encoder.frame_rate_hz,
            num_codebooks=len(sizes),
            codebook_sizes=sizes,
            feature_dim=0,
            provenance={"tokenizer": self.tokenizer_name, **self._encoder.provenance, **self._precision()},
            made_with=self._made_with(),
        )

    def codebooks(self) -> List[Tensor]:
        """The vectors (V, E / G) of each group."""
        return self._encoder.quantizer.codebooks()

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._encoder.codes(samples).cpu()
