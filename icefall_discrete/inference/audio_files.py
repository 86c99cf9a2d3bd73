"""Audio files as a tokenizer wants them, and one sentence that names the file when they cannot be had."""

import dataclasses
import os
from pathlib import Path

from lhotse import Recording
from torch import Tensor

from icefall_discrete.audio.reading import TRUNCATED, UnreadableAudio, load_recording, open_recording
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import shown_name
from icefall_discrete.inference.pauses import MIN_SEGMENT_SEC

MIX = -1
FOLDER = "this is a folder; give the audio files in it"
FETCH_AGAIN = "it holds less or more audio than its header says; fetch the file again"


@dataclasses.dataclass(frozen=True)
class AudioConfig:
    """Which audio is recognised, in which language, and how long audio is divided."""

    channel: int = setting(MIX, "channel of files with several, from 0; -1: their mean")
    max_segment_sec: float = setting(
        0.0, "longer audio is divided in its pauses into segments of at most this, in seconds; 0: as in training"
    )
    language: str = setting("", "language of the audio, such as en: for an experiment whose codes depend on it")

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
    """Read the header of an audio file. Raises BadAudio if it is missing, empty, cut short or no audio."""
    if os.path.isdir(path):
        raise BadAudio(f"{shown_name(path)}: {FOLDER}.")
    try:
        return open_recording(Path(path), path)
    except UnreadableAudio as error:
        raise BadAudio(f"{shown_name(path)}: {str(error).rstrip('.')}.") from error


def read_samples(recording: Recording, sample_rate_hz: int, channel: int = MIX) -> Tensor:
    """Read the whole of `recording` as float32 samples (S,) in [-1, 1] at `sample_rate_hz`, resampled if need be.

    Args:
      recording: from `open_audio`. channel: which one to read, from 0; MIX: the mean of all.
    Raises:
      BadAudio: for damaged audio, or a channel that is not there.
    """
    if channel >= recording.num_channels:
        raise BadAudio(
            f"{shown_name(recording.id)}: has {recording.num_channels} channels, so there is no channel {channel}."
        )
    try:
        return load_recording(recording, sample_rate_hz, None if channel == MIX else channel)
    except UnreadableAudio as error:
        reason = str(error)
        said = FETCH_AGAIN if reason == TRUNCATED else reason.rstrip(".")
        raise BadAudio(f"{shown_name(recording.id)}: cannot be read as audio: {said}.") from error
