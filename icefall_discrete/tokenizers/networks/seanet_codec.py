"""Codecs of SEANet and residual VQ in the state dicts of EnCodec's code: encoder, quantizer, decoder."""

from abc import abstractmethod
from pathlib import Path
from typing import List

from torch import Tensor, nn

from icefall_discrete.tokenizers.formats.pretrained import Weights, read_weights
from icefall_discrete.tokenizers.networks.codec import Codec, CodecTokenizer
from icefall_discrete.tokenizers.networks.residual_vq import CodebookQuantizer, residual_vq_from
from icefall_discrete.tokenizers.networks.seanet import Seanet, seanet_from

# Names under which training scripts put the state dict into a checkpoint.
STATE_DICT_KEYS = ("state_dict", "soundstream", "best_state", "model")


class SeanetCodec(Codec):
    """A SEANet encoder, a residual VQ, and a decoder (D, T) -> (1, S) of any kind."""

    frames_to_trace = 1

    def __init__(self, encoder: Seanet, quantizer: CodebookQuantizer, decoder: nn.Module, sample_rate_hz: int) -> None:
        """The parts in evaluation mode."""
        self._encoder, self._quantizer, self._decoder = encoder, quantizer, decoder
        self.sample_rate_hz = sample_rate_hz
        self.frame_samples = encoder.stride
        self.frame_rate_hz = sample_rate_hz / self.frame_samples
        self.codebook_sizes = tuple(len(book) for book in quantizer.codebooks())

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec; T = ceil(S / F)."""
        return self._quantizer.encode(self._encoder(samples[None]).t(), num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec; S = T F."""
        return self._decoder(self._quantizer.decode(codes).t().contiguous())[0]

    def codebooks(self) -> List[Tensor]:
        """See Codec."""
        return self._quantizer.codebooks()


class SeanetTokenizer(CodecTokenizer):
    """A codec whose weights are one file with `encoder.`, `quantizer.` and `decoder.`, all in EnCodec's names."""

    def _load(self, files: List[Path]) -> Codec:
        weights = Weights(read_weights(files[0], STATE_DICT_KEYS), str(files[0]))
        weights.drop(self._unused)
        encoder = seanet_from(weights.part("encoder."), self._causal)
        quantizer = residual_vq_from(weights.part("quantizer."))
        decoder = seanet_from(weights.part("decoder."), self._causal)
        weights.require_empty()
        return SeanetCodec(encoder, quantizer, decoder, self._rate_hz)

    @property
    @abstractmethod
    def _rate_hz(self) -> int:
        """Sample rate, which the weights do not tell."""

    @property
    def _causal(self) -> bool:
        """Whether convolutions are causal, which the weights do not tell."""
        return False

    @property
    def _unused(self) -> str:
        """Pattern of the weights that only training needs."""
        return ""
