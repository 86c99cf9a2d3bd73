"""What codecs share: a loaded codec behind the tokenizer contract, a number of codebooks, and the way back to audio."""

import functools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.contract import Placement, SpeechTokenizer
from icefall_discrete.tokenizers.formats.pretrained import locate_file, portable_name, sha256_of
from icefall_discrete.tokenizers.networks.frame_graph import FrameGraph, NotExported


class Codec(ABC):
    """A loaded codec.

    sample_rate_hz: of the audio. frame_rate_hz: code frames a second. frame_samples: samples of one frame (F).
    codebook_sizes: entries of every codebook it has, in the order of their importance.
    frames_to_trace: fewest frames of audio that `encode` can be exported for, where a trace of it is the same for
    audio of any such length; None: it is not. not_traced: why, in messages.
    """

    sample_rate_hz: int
    frame_rate_hz: float
    frame_samples: int
    codebook_sizes: Tuple[int, ...]
    frames_to_trace: Optional[int] = None
    not_traced: str = "looks at the length of audio"

    @property
    def min_samples(self) -> int:
        """Fewest samples that `encode` takes: one frame."""
        return self.frame_samples

    @abstractmethod
    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, K) int64 of one utterance (S,) float32, by the first K = `num_codebooks` codebooks."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Audio (S,) float32 of the codes (T, K) of one utterance; K may be smaller than the codec has codebooks."""

    @abstractmethod
    def codebooks(self) -> List[Tensor]:
        """The vectors (V_k, D_k) float32 of every codebook."""

    def graph(self, num_codebooks: int) -> nn.Module:
        """`encode` by the first `num_codebooks` codebooks as a network, for exports."""
        return CodecGraph(self, num_codebooks)

    def to(self, device: torch.device) -> "Codec":
        """Move its networks; samples and codes must then be there too."""
        for value in vars(self).values():
            if isinstance(value, nn.Module):
                value.to(device)
        return self


class CodecGraph(nn.Module):
    """The encoder and the quantizer of a codec: samples (S,) to codes (T, K) by the first K codebooks."""

    def __init__(self, codec: Codec, num_codebooks: int) -> None:
        super().__init__()
        # Kept here too, so that an export finds their weights.
        self.networks = nn.ModuleList(value for value in vars(codec).values() if isinstance(value, nn.Module))
        self._codec, self._num_codebooks = codec, num_codebooks

    def forward(self, samples: Tensor) -> Tensor:
        """See the class."""
        return self._codec.encode(samples, self._num_codebooks)


class CodecTokenizer(SpeechTokenizer):
    """Codes (T, K) of a codec; `config` has the settings `model` and `num_codebooks` (0: all).

    Class attributes a subclass sets, besides those of SpeechTokenizer:
      kind: what the codec is called in messages.
      normalisation: what is done to the audio before the codec, for the provenance.
    """

    origin = "codec"
    kind: ClassVar[str]
    normalisation: ClassVar[str] = "none"

    def _weight_files(self) -> List[Path]:
        """Find the files of weights, here one; one sentence if they cannot be had."""
        return [locate_file(self.config.model, self.kind)]

    @abstractmethod
    def _load(self, files: List[Path]) -> Codec:
        """Load the codec from its files of weights."""

    @functools.cached_property
    def _files(self) -> List[Path]:
        return self._weight_files()

    @functools.cached_property
    def _codec(self) -> Codec:
        codec = self._load(self._files)
        known = len(codec.codebook_sizes)
        if not 0 <= self.config.num_codebooks <= known:
            raise ValueError(
                f"num_codebooks is {self.config.num_codebooks}, but {self.config.model} has {known}; "
                f"choose 1 to {known}, or 0 for all."
            )
        return codec.to(self.placement.device)

    def why_not_elsewhere(self) -> str:
        """See SpeechTokenizer; a codec runs on any device."""
        return ""

    def _move(self, placement: Placement) -> None:
        if placement.dtype != torch.float32:
            raise ValueError(f"{self.name} is a codec, which runs in float32 only: leave out dtype.")
        vars(self).pop("_codec", None)

    @property
    def _num_codebooks(self) -> int:
        return self.config.num_codebooks or len(self._codec.codebook_sizes)

    @property
    def sample_rate_hz(self) -> int:
        """That of the codec."""
        return self._codec.sample_rate_hz

    @property
    def min_samples(self) -> int:
        """Those of the codec."""
        return self._codec.min_samples

    @functools.cached_property
    def _provenance(self) -> Dict[str, Any]:
        return {
            "tokenizer": self.tokenizer_name,
            **self._settings(),
            "model": portable_name(self.config.model),
            "model_sha256": sha256_of(self._files),
            "normalisation": self.normalisation,
        }

    @property
    def spec(self) -> FeatureSpec:
        """num_codebooks codebooks at the codec's rate."""
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=self._codec.sample_rate_hz,
            frame_rate_hz=round(self._codec.frame_rate_hz, 6),
            num_codebooks=self._num_codebooks,
            codebook_sizes=self._codec.codebook_sizes[: self._num_codebooks],
            feature_dim=0,
            provenance=dict(self._provenance),
            made_with=self._made_with(),
        )

    @torch.no_grad()
    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._codec.encode(samples.to(self.placement.device), self._num_codebooks).cpu()

    def graph(self) -> FrameGraph:
        """See SpeechTokenizer."""
        codec = self._codec
        if codec.frames_to_trace is None:
            raise NotExported(f"codec '{self.name}' {codec.not_traced}, so that it is not exported.")
        least = codec.frames_to_trace * codec.frame_samples
        return FrameGraph(codec.graph(self._num_codebooks), min_samples=least)

    def codebooks(self) -> List[Tensor]:
        """The codec's vectors (V_k, D_k) of the codebooks in use."""
        return [book.detach().float().cpu().clone() for book in self._codec.codebooks()[: self._num_codebooks]]

    @torch.no_grad()
    def decode(self, codes: Tensor, code_lens: Tensor) -> Tensor:
        """Audio (N, S) float32 at `sample_rate_hz` of codes (N, T, K) with `code_lens` (N,); zeros after each end.

        S is the longest utterance's T frames of audio: up to a frame longer than what was encoded.

        Raises:
          ValueError: if an id before an utterance's end lies outside its codebook.
        """
        sizes = torch.tensor(self._codec.codebook_sizes[: codes.shape[2]])
        pieces = []
        for row, length in enumerate(code_lens.tolist()):
            alone = codes[row, :length].clone()
            if bool((alone < 0).any()) or bool((alone >= sizes).any()):
                raise ValueError(
                    f"row {row} has ids from {int(alone.min())} to {int(alone.max())} in its {length} frames, "
                    f"but {self.name} has codebooks of {', '.join(str(size) for size in sorted(set(sizes.tolist())))}."
                )
            pieces.append(self._codec.decode(alone.to(self.placement.device)).cpu())
        return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)


def pad_to_frames(samples: Tensor, frame_samples: int) -> Tensor:
    """Append zeros to (S,) up to whole frames."""
    return torch.nn.functional.pad(samples, (0, -samples.shape[0] % frame_samples))
