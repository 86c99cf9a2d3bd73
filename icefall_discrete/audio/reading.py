"""A cut's samples as a tokenizer wants them, and one sentence when they cannot be had."""

import re

import torch
from lhotse import MonoCut
from lhotse.audio import DurationMismatchError
from lhotse.cut import MixedCut
from torch import Tensor

from icefall_discrete.audio.sources import refusal_of

TRUNCATED = "it holds less or more audio than its manifest says: fetch the file again, or remake the manifests"


class UnreadableAudio(ValueError):
    """Audio that is missing, truncated or not decodable; the message names the cut and the file."""


def source_of(cut: MonoCut) -> str:
    """Path (or command, or URL) of the cut's audio."""
    return ", ".join(str(source.source) for source in cut.recording.sources) if cut.has_recording else "its audio"


def reason_of(error: Exception) -> str:
    """What an audio library's error says went wrong, on one line of at most 300 characters."""
    text = " ".join(str(error).split())
    if isinstance(error, DurationMismatchError) or text.startswith("The number of declared samples"):
        return TRUNCATED
    # lhotse lists what each of its backends said; the first is the one that knows the format.
    first = re.search(r"Exception #0 \(.*?\): <class '.*?'>: (.*?)(?= Exception #1|$)", text)
    return (first.group(1) if first else text)[:300] or type(error).__name__


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
    if cut.sampling_rate != sample_rate_hz:
        cut = cut.resample(sample_rate_hz)
    try:
        audio = cut.load_audio()
    except Exception as error:  # every audio library has its own errors, and lhotse wraps some of them
        raise UnreadableAudio(f"cut {cut.id}: cannot read {source_of(cut)}: {reason_of(error)}") from error
    if audio.shape[1] != cut.num_samples:
        raise UnreadableAudio(f"cut {cut.id}: cannot read {source_of(cut)}: {TRUNCATED}")
    return torch.from_numpy(audio[0]).to(torch.float32)
