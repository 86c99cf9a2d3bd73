"""Audio files as a tokenizer wants them, and one sentence that names the file when they cannot be had."""

import dataclasses
from pathlib import Path

import torch
from lhotse import Recording
from lhotse.audio import DurationMismatchError
from torch import Tensor

from icefall_discrete.audio.reading import reason_of
from icefall_discrete.audio.sources import refusal
from icefall_discrete.base.settings import setting
from icefall_discrete.inference.pauses import MIN_SEGMENT_SEC

MIX = -1


@dataclasses.dataclass(frozen=True)
class AudioConfig:
    """Which audio is recognised, and how long audio is divided."""

    channel: int = setting(MIX, "channel of files with several, from 0; -1: their mean")
    max_segment_sec: float = setting(
        0.0, "longer audio is divided in its pauses into segments of at most this, in seconds; 0: as in training"
    )

    def __post_init__(self) -> None:
        if self.channel < MIX:
            raise ValueError(f"channel is {self.channel}, expected a number from 0, or {MIX} for the mean of all.")
        if self.max_segment_sec != 0 and self.max_segment_sec < 2 * MIN_SEGMENT_SEC:
            raise ValueError(
                f"max_segment_sec is {self.max_segment_sec}, expected at least {2 * MIN_SEGMENT_SEC} seconds, "
                "or 0 for those of training."
            )


class BadAudio(ValueError):
    """Audio that cannot be transcribed; the message names the file and the reason."""


def open_audio(path: str) -> Recording:
    """Read the header of an audio file. Raises BadAudio if it is missing, empty or no audio that can be read."""
    file = Path(path)
    if not file.exists():
        raise BadAudio(f"{path}: the file does not exist.")
    if file.is_dir():
        raise BadAudio(f"{path}: this is a folder; give the audio files in it.")
    refused = refusal("file", path)
    if refused:
        raise BadAudio(f"{path}: {refused}.")
    try:
        if file.stat().st_size == 0:
            raise BadAudio(f"{path}: the file is empty (0 bytes).")
        recording = Recording.from_file(path, recording_id=path)
    except BadAudio:
        raise
    except Exception as error:  # every audio library has its own errors, and lhotse wraps some of them
        raise BadAudio(f"{path}: cannot be read as audio: {_reason(error)}") from error
    if recording.num_samples < 1:
        raise BadAudio(f"{path}: the file holds no audio (0 samples).")
    return recording


def read_samples(recording: Recording, sample_rate_hz: int, channel: int = MIX) -> Tensor:
    """Read the whole of `recording` as float32 samples (S,) in [-1, 1] at `sample_rate_hz`, resampled if need be.

    Args:
      recording: from `open_audio`. channel: which one to read, from 0; MIX: the mean of all.
    Raises:
      BadAudio: for damaged audio, or a channel that is not there.
    """
    if channel >= recording.num_channels:
        raise BadAudio(f"{recording.id}: has {recording.num_channels} channels, so there is no channel {channel}.")
    if recording.sampling_rate != sample_rate_hz:
        recording = recording.resample(sample_rate_hz)
    try:
        audio = recording.load_audio(channels=None if channel == MIX else channel)
    except Exception as error:  # see open_audio
        raise BadAudio(f"{recording.id}: cannot be read as audio: {_reason(error)}") from error
    samples = torch.from_numpy(audio).to(torch.float32)
    return samples[0] if len(samples) == 1 else samples.mean(dim=0)


def _reason(error: Exception) -> str:
    if isinstance(error, DurationMismatchError):
        return "it holds less or more audio than its header says; fetch the file again."
    reason = reason_of(error)
    return reason if reason.endswith(".") else f"{reason}."
