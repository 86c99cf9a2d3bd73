"""Samples of files and of cuts as a tokenizer wants them, and one sentence when they cannot be had."""

import re
from pathlib import Path
from typing import Optional

import torch
from lhotse import MonoCut, Recording
from lhotse.audio import DurationMismatchError
from lhotse.cut import MixedCut
from torch import Tensor

from icefall_discrete.audio.lhotse_reader import read_whole_files
from icefall_discrete.audio.resampling import with_bounded_memory
from icefall_discrete.audio.sound_files import TOLERANCE_SEC
from icefall_discrete.audio.sources import refusal, refusal_of, why_no_audio

TRUNCATED = "it holds less or more audio than its manifest says: fetch the file again, or remake the manifests"


class UnreadableAudio(ValueError):
    """Audio that is missing, truncated or not decodable; the message names the cut (or the file) and the reason."""


def source_of(cut: MonoCut) -> str:
    """Path (or command, or URL) of the cut's audio."""
    return ", ".join(str(source.source) for source in cut.recording.sources) if cut.has_recording else "its audio"


def reason_of(error: Exception) -> str:
    """What an audio library's error says went wrong, on one line of at most 300 characters."""
    text = " ".join(str(error).split("[extra info]")[0].split())
    if isinstance(error, DurationMismatchError) or text.startswith("The number of declared samples"):
        return TRUNCATED
    # lhotse lists what each of its backends said; the first is the one that knows the format.
    first = re.search(r"(?:Exception #0 \(.*?\)|Details): <class '.*?'>: (.*?)(?= Exception #1|$)", text)
    text = first.group(1) if first else text
    text = text.split(": ", 1)[1] if text.startswith("Error opening ") and ": " in text else text
    return text[:300] or type(error).__name__


def open_recording(path: Path, recording_id: str) -> Recording:
    """Read the header of an audio file, and all of it where the header does not know its length.

    Raises:
      UnreadableAudio: for a file that is missing, empty, no audio, or holds more or less than its header announces;
        the message is the reason alone.
    """
    reason = refusal("file", path) or why_no_audio(path)
    if reason:
        raise UnreadableAudio(reason)
    read_whole_files()
    try:
        recording = Recording.from_file(path, recording_id=recording_id)
    except Exception as error:  # every audio library has its own errors, and lhotse wraps some of them
        raise UnreadableAudio(f"cannot be read as audio: {reason_of(error)}") from error
    if recording.num_samples < 1:
        raise UnreadableAudio("the file holds no audio (0 samples)")
    return recording


def load_recording(recording: Recording, sample_rate_hz: int, channel: Optional[int] = None) -> Tensor:
    """Read the whole of `recording` as float32 samples (S,) in [-1, 1] at `sample_rate_hz`, resampled if need be.

    Args:
      recording: from `open_recording`. channel: which one to read, from 0; None: the mean of all.
    Raises:
      UnreadableAudio: for damaged audio; the message is the reason alone.
    """
    if recording.sampling_rate != sample_rate_hz:
        recording = with_bounded_memory(recording.resample(sample_rate_hz))
    try:
        audio = recording.load_audio(channels=channel)
    except Exception as error:  # as in open_recording
        raise UnreadableAudio(reason_of(error)) from error
    samples = torch.from_numpy(audio).to(torch.float32)
    return samples[0] if len(samples) == 1 else samples.mean(dim=0)


def load_samples(cut: MonoCut, sample_rate_hz: int) -> Tensor:
    """Read the cut's audio as float32 samples (S,) in [-1, 1] at `sample_rate_hz`, speed perturbation included.

    Audio at another rate is resampled: whether that is wanted is asked by the caller.
    Raises UnreadableAudio for a file that is missing, damaged or shorter than its manifest says.
    """
    if isinstance(cut, MixedCut):
        raise UnreadableAudio(f"cut {cut.id}: is mixed of several; write it to a file first, and make a cut of that")
    refused = refusal_of(cut.recording)
    if refused:
        raise UnreadableAudio(f"cut {cut.id}: cannot read {source_of(cut)}: {refused}")
    if cut.start < 0 or cut.end > cut.recording.duration + TOLERANCE_SEC:
        raise UnreadableAudio(
            f"cut {cut.id}: goes from {cut.start:g} to {cut.end:g} s, but its recording, {source_of(cut)}, from 0 to "
            f"{cut.recording.duration:g} s; correct its manifest"
        )
    read_whole_files()
    if cut.sampling_rate != sample_rate_hz:
        cut = cut.resample(sample_rate_hz)
    recording = with_bounded_memory(cut.recording)
    try:
        audio = recording.load_audio(channels=cut.channel, offset=cut.start, duration=cut.duration)
    except Exception as error:  # as in open_recording
        raise UnreadableAudio(f"cut {cut.id}: cannot read {source_of(cut)}: {reason_of(error)}") from error
    if len(audio) != 1:
        raise UnreadableAudio(
            f"cut {cut.id}: has the channels {cut.channel} of {source_of(cut)}; choose one, or mix them to a file"
        )
    if audio.shape[1] != cut.num_samples:
        raise UnreadableAudio(f"cut {cut.id}: cannot read {source_of(cut)}: {TRUNCATED}")
    return torch.from_numpy(audio[0]).to(torch.float32)


def load_finite(cut: MonoCut, sample_rate_hz: int) -> Tensor:
    """As `load_samples`, for what computes with the samples at once.

    Raises UnreadableAudio for samples that are NaN or infinite too.
    """
    samples = load_samples(cut, sample_rate_hz)
    wrong = int((~samples.isfinite()).sum())
    if wrong:
        raise UnreadableAudio(
            f"cut {cut.id}: {wrong} of {len(samples)} samples of {source_of(cut)} are NaN or infinite"
        )
    return samples
