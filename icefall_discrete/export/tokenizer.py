"""The tokenizer of an experiment as a part: samples in, codes or features out."""

from typing import Dict

import torch
from torch import Tensor

from icefall_discrete.export.parts import Part
from icefall_discrete.onnx.folder import TOKENIZER
from icefall_discrete.tokenizers.contract import SpeechTokenizer

# Codes of noise, which lie between centroids more often than those of speech: the share that may differ.
CODES_THAT_MAY_DIFFER = 0.01
_HOP_SAMPLES = 1000


def tokenizer_part(tokenizer: SpeechTokenizer) -> Part:
    """A tokenizer as a part.

    Raises:
      ValueError: if it is not exported.
    """
    graph = tokenizer.graph().eval()

    def example(num: int, frames: int) -> Dict[str, Tensor]:
        # Of a length of its own, that no hop divides.
        return {"samples": 0.1 * torch.randn(frames * _HOP_SAMPLES + 7 * num)}

    open_axes = {"samples": {0: "S"}, "frames": {0: "T"}}
    said = {"sample_rate_hz": str(tokenizer.spec.sample_rate_hz), "feature_type": tokenizer.name}
    return Part(TOKENIZER, graph, example, ("frames",), open_axes, said, CODES_THAT_MAY_DIFFER, False)


def shortest_audio(tokenizer: SpeechTokenizer) -> int:
    """Samples of the shortest audio that an export takes."""
    return max(tokenizer.min_samples, tokenizer.graph().min_samples)


def longest_audio(tokenizer: SpeechTokenizer, trained_sec: float) -> int:
    """Samples of the longest audio that an export takes in one piece: what training had, and the graph takes."""
    limits = (tokenizer.graph().max_samples, tokenizer.max_samples)
    longest = round(trained_sec * tokenizer.spec.sample_rate_hz)
    return min([longest, *(limit for limit in limits if limit is not None)])
