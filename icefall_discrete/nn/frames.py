"""The one function from input frames to encoder frames."""

from typing import Any, Optional

from icefall_discrete.base.rate_matching import matched_lens, rate_ratio
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.nn.encoders.zipformer.resample import downsampled_lens
from icefall_discrete.nn.front_ends import Conv2dSubsampling

FRONT_ENDS = ("conv2d", "conv1d")


def encoder_frames(num_frames: Any, config: Any, spec: Optional[FeatureSpec] = None) -> Any:
    """Return the encoder's output frames T' for `num_frames` frames of codes or features, never below 0.

    Args:
      num_frames: an int or an integer tensor.
      config: the model's settings (front_end, front_end_stride, output_downsampling_factor, input_frame_rate_hz).
      spec: the features' spec; needed where input_frame_rate_hz asks for rate matching.
    """
    rate = config.input_frame_rate_hz
    if rate:
        if spec is None:
            raise ValueError(f"input_frame_rate_hz is {rate}: the frame count needs the features' spec too.")
        num_frames = matched_lens(num_frames, rate_ratio(rate, spec.frame_rate_hz))
    if config.front_end == "conv2d":
        frames = Conv2dSubsampling.out_lens(num_frames)
    elif config.front_end == "conv1d":
        frames = downsampled_lens(num_frames, config.front_end_stride)
    else:
        raise ValueError(f"front_end is '{config.front_end}'; known: {', '.join(FRONT_ENDS)}.")
    frames = downsampled_lens(frames, config.output_downsampling_factor)
    return max(frames, 0) if isinstance(frames, int) else frames.clamp(min=0)


def encoder_frame_sec(config: Any, spec: FeatureSpec) -> float:
    """Seconds of audio from one encoder frame to the next; settings as for `encoder_frames`.

    Where the rate is variable, the average: times that are reckoned with it are approximate.
    """
    stride = 2 if config.front_end == "conv2d" else config.front_end_stride
    return stride * config.output_downsampling_factor / (config.input_frame_rate_hz or spec.frame_rate_hz)
