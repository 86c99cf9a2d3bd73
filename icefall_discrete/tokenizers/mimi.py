"""Mimi, Moshi's codec: a causal SEANet with Transformers and a split residual VQ, by transformers' MimiModel.

Défossez et al. 2024, https://arxiv.org/abs/2410.00037. The first codebook is taught by WavLM, the others code on their
own. Audio is filled up with zeros to whole frames, as by the authors: T = ceil(S / 1920) at 24 kHz.

Unless they are given a mask, older releases of transformers (4.47) attend to the future (eager attention) or forget the
window of 250 frames (SDPA), and newer ones look for several sequences in one, which ONNX cannot. So the stages of the
encoder are run one by one, with a mask, and of the older ones those of the decoder: codes are those of newer releases.
"""

import dataclasses
from pathlib import Path
from typing import List

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.tokenizers.networks.codec import Codec, pad_to_frames
from icefall_discrete.tokenizers.networks.transformers_codec import (
    TransformersCodecTokenizer,
    TransformersModel,
    load_pretrained,
)


@dataclasses.dataclass(frozen=True)
class MimiConfig:
    """Mimi."""

    model: str = setting("kyutai/mimi", "Mimi model: a folder of transformers, or a hub id.")
    num_codebooks: int = setting(8, "Codebooks used (K), 0: all (32); Moshi uses 8.")


class MimiCodec(Codec):
    """A loaded MimiModel."""

    frames_to_trace = 1

    def __init__(self, model: TransformersModel) -> None:
        """`model`: a MimiModel in evaluation mode."""
        self._model = model
        # Newer releases keep the Transformers inside the encoder and the decoder.
        self._needs_mask = "encoder_transformer" in dict(model.named_children())
        quantizer = model.quantizer
        self._layers = [
            *quantizer.semantic_residual_vector_quantizer.layers,
            *quantizer.acoustic_residual_vector_quantizer.layers,
        ]
        self._window = model.config.sliding_window
        self.sample_rate_hz = model.config.sampling_rate
        self.frame_rate_hz = model.config.frame_rate
        self.frame_samples = round(self.sample_rate_hz / self.frame_rate_hz)
        # Not of `embed`: it is made when first asked for, and would stay on this device when the model moves.
        self.codebook_sizes = tuple(len(layer.codebook.embed_sum) for layer in self._layers)

    def encode(self, samples: Tensor, num_codebooks: int) -> Tensor:
        """See Codec."""
        audio = pad_to_frames(samples, self.frame_samples)[None, None]
        inner = self._model if self._needs_mask else self._model.encoder
        seanet = self._model.encoder if self._needs_mask else inner.encoder_seanet
        states = inner.downsample(_attend(inner.encoder_transformer, seanet(audio), self._window))
        return self._model.quantizer.encode(states, num_codebooks)[:, 0].t()

    def decode(self, codes: Tensor) -> Tensor:
        """See Codec."""
        if not self._needs_mask:
            return self._model.decode(codes.t()[None]).audio_values[0, 0]
        states = self._model.upsample(self._model.quantizer.decode(codes.t()[None]))
        return self._model.decoder(_attend(self._model.decoder_transformer, states, self._window))[0, 0]

    def codebooks(self) -> List[Tensor]:
        """See Codec."""
        return [layer.codebook.embed for layer in self._layers]


def _attend(transformer: nn.Module, states: Tensor, window: int) -> Tensor:
    """Run a Transformer over states (1, D, T), of which each hears the `window` frames that end with it."""
    places = torch.arange(states.shape[2], device=states.device)
    before = places[:, None] - places
    is_heard = (before >= 0) & (before < window)
    mask = torch.zeros_like(before, dtype=states.dtype).masked_fill(~is_heard, torch.finfo(states.dtype).min)
    states = states.transpose(1, 2)
    output = transformer(states, attention_mask=mask[None, None], use_cache=False, return_dict=True)
    return output.last_hidden_state.transpose(1, 2)


class MimiTokenizer(TransformersCodecTokenizer):
    """Codes (T, num_codebooks) of Mimi."""

    Config = MimiConfig
    kind = "Mimi"
    model_type = "mimi"

    def _load(self, files: List[Path]) -> Codec:
        return MimiCodec(load_pretrained("MimiModel", files))
