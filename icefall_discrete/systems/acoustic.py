"""What systems that train an acoustic encoder, with whatever stands on it, have in common for the training loop."""

from typing import Any, Dict, Mapping

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.acoustic_encoder import AcousticEncoder, AcousticEncoderConfig
from icefall_discrete.nn.front_ends.waveform import WaveformConfig
from icefall_discrete.nn.scaling import load_noise_state, noise_state, set_batch_count
from icefall_discrete.training.system import Losses, Prepared, System


class EncoderSystem(System[Prepared]):
    """A network with encoders, which the loop's news reaches."""

    def set_batch_count(self, batch_count: float) -> None:
        """Schedules inside the encoders."""
        set_batch_count(self.network, batch_count)

    def noise_state(self) -> Dict[str, Any]:
        """How often each Whiten acts."""
        return noise_state(self.network)

    def load_noise_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `noise_state` gave."""
        load_noise_state(self.network, state)


class AcousticSystem(EncoderSystem[Prepared]):
    """A network on codes or features; the loop's news reaches its encoder and its augmentation.

    Args:
      network: the network. spec: of the frames.
    """

    network: AcousticEncoder
    frozen_steps = 0
    if_not_finite = "look at those cuts, or lower --base-lr and train anew"
    if_too_large = "lower --max-duration or --max-utterance-sec, or set --quadratic-duration 30"

    def __init__(self, network: AcousticEncoder, spec: FeatureSpec) -> None:
        super().__init__(network)
        self.spec = spec

    def forward(self, prepared: Prepared, step: int) -> Losses:
        """The losses; in the first `frozen_steps` steps the encoder and what is before it learn nothing."""
        self.network.is_frozen = step < self.frozen_steps
        return super().forward(prepared, step)

    def begin_epoch(self, epoch: int) -> None:
        """Augmentation may start at a later epoch."""
        self.network.set_epoch(epoch)


def require_samples(config: AcousticEncoderConfig, title: str) -> None:
    """Raise ValueError unless the system `title` can learn with that front end and that encoder."""
    if not isinstance(config.front_end, WaveformConfig):
        raise ValueError(f"{title} learns from samples: its front_end must be waveform; set --front-end waveform.")
    require_every_frame(config, title)


def require_every_frame(config: AcousticEncoderConfig, title: str) -> None:
    """Raise ValueError unless the encoder gives the system `title` a frame for each of its front end."""
    if config.encoder.stride != 1 or config.input.input_frame_rate_hz:
        raise ValueError(
            f"{title} tells of each frame of its front end, so that the encoder must keep their rate; set "
            "output_downsampling_factor of a Zipformer to 1, and input_frame_rate_hz to 0."
        )
