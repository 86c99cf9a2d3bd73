"""From the input of a batch to encoder frames: vectors, rate matching, masks, front end, encoder.

What recognisers, classifiers and other systems that read codes or features have in common. Letters: N utterances,
T input frames, T' encoder frames, K codebooks, D dimension.
"""

import dataclasses
from typing import ContextManager, Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.rate_matching import match_rate, matched_lens, rate_ratio
from icefall_discrete.base.settings import choice, section
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.adaptation import AdaptationConfig, adapt
from icefall_discrete.nn.attention.positions import AbsolutePositions
from icefall_discrete.nn.code_embedding import EmbeddingAugment, InputEmbedding
from icefall_discrete.nn.encoders.contract import ENCODERS, EncoderConfig, EncoderOutput, build_encoder
from icefall_discrete.nn.frame_network import FrameNetwork, InputConfig
from icefall_discrete.nn.front_ends.contract import FRONT_ENDS, FrontEndConfig
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.utterance_frames import UtteranceFrames


@dataclasses.dataclass(frozen=True)
class AcousticEncoderConfig:
    """Input, front end and encoder."""

    input: InputConfig = section(InputConfig, "from codes or features to vectors")
    front_end: FrontEndConfig = choice(
        "conv2d", "conv2d: the paper's, for spectrograms; conv1d: for codes; espnet_conv1d: ESPnet's", FRONT_ENDS
    )
    encoder: EncoderConfig = choice("zipformer", "network from the front end's vectors to frames", ENCODERS)
    adaptation: AdaptationConfig = section(AdaptationConfig, "adapters and LoRA within the encoder")

    @property
    def frames_each(self) -> int:
        """S, input frames for a frame of the encoder, where none are resampled."""
        return self.front_end.stride * self.encoder.stride

    def num_encoder_frames(self, num_frames: Lens, spec: Optional[FeatureSpec] = None) -> Lens:
        """The encoder's output frames T' for `num_frames` frames of codes or features, never below 0.

        `spec` of the features is needed where `input_frame_rate_hz` asks for rate matching.
        """
        rate = self.input.input_frame_rate_hz
        if rate:
            if spec is None:
                raise ValueError(f"input_frame_rate_hz is {rate}: the frame count needs the features' spec too.")
            num_frames = matched_lens(num_frames, rate_ratio(rate, spec.frame_rate_hz))
        frames = self.encoder.frames_out(self.front_end.frames_out(num_frames))
        return max(frames, 0) if isinstance(frames, int) else frames.clamp(min=0)

    def require_heard(self, spec: FeatureSpec) -> None:
        """Raise ValueError if the front end reads samples, and features of `spec` are none, even if as many a frame."""
        if self.front_end.reads_samples and spec.feature_dim * spec.frame_rate_hz != spec.sample_rate_hz:
            raise ValueError(
                f"the front end reads samples, and '{spec.name}' has {spec.feature_dim} dimensions "
                f"{spec.frame_rate_hz:g} times a second, which are no samples at {spec.sample_rate_hz} Hz; take "
                "--feature-type waveform, or another --front-end."
            )

    def encoder_frame_sec(self, spec: FeatureSpec) -> float:
        """Seconds of audio from one encoder frame to the next.

        Where the rate is variable, the average: times that are reckoned with it are approximate.
        """
        return self.frames_each / (self.input.input_frame_rate_hz or spec.frame_rate_hz)


class AcousticEncoder(FrameNetwork):
    """Encodes batches of codes or features; what stands on the encoder is added by subclasses.

    Args:
      config: the settings. input_embedding: CodeEmbedding or FeatureNormalizer. augment: masks on its output.
      frame_rate_hz: rate of the input frames.
    """

    def __init__(
        self,
        config: AcousticEncoderConfig,
        input_embedding: InputEmbedding,
        augment: EmbeddingAugment,
        frame_rate_hz: float,
    ) -> None:
        super().__init__()
        self.is_frozen = False  # whether nothing of it learns for now
        self.config = config
        self.rate_ratio = rate_ratio(config.input.input_frame_rate_hz, frame_rate_hz)
        self.input_embedding = input_embedding
        self.augment = augment
        self.positions: Optional[AbsolutePositions] = None
        if config.input.input_positions:
            self.positions = AbsolutePositions(input_embedding.out_dim, config.input.input_positions_dropout)
        encoder = config.encoder
        self.front_end = config.front_end.build(input_embedding.out_dim, encoder.in_dim, encoder.input_dropout)
        self.encoder = build_encoder(encoder)

    def adapt(self) -> None:
        """Put in what adapts the encoder; the last of all, so that other first weights are the same without it."""
        adapt(self.encoder, self.config.adaptation)

    def set_epoch(self, epoch: int) -> None:
        """Tell the augmentation which epoch (from 1) is being trained."""
        self.augment.epoch = epoch

    def encode(self, frames: Tensor, frame_lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode codes (N, T, K) int64 or features (N, T, D) float, padded as the loader does, with lens (N,).

        `inner` names inner places of the encoder whose outputs are returned too.
        """
        with self._learning():
            return self.encode_vectors(self.input_embedding(frames), frame_lens, inner)

    def encode_vectors(self, x: Tensor, frame_lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode vectors x (N, T, D) that stand for codes or features; the rest as for `encode`."""
        with self._learning():
            x, lens = match_rate(x, frame_lens, self.rate_ratio)
            if self.positions is not None:
                x = UtteranceFrames(lens, x.shape[1]).without_padding(self.positions(x))
            x = self.augment(x)
            x, lens = self.front_end(x, lens)
            return self.encoder(x, lens, inner)

    def _learning(self) -> ContextManager[object]:
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen)
