"""Audio files as samples, by soundfile and numpy.

Letters: S samples.
"""

import math
from pathlib import Path

import numpy as np

from icefall_discrete.audio.sound_files import BadSoundFile, decoded, examine
from icefall_discrete.audio.sources import why_no_audio
from icefall_discrete.base.text_files import shown_name

# Of the low-pass filter of a change of rate, those of scipy.signal.resample_poly: samples of the slower rate on each
# side, and the shape of its Kaiser window.
_REACH, _BETA = 10, 5.0
# Of the filters of all phases together; 44100 to 16000 Hz has 80 thousand.
_MAX_TAPS = 1 << 22


def resampled(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Samples (S,) float32 at another rate, as scipy.signal.resample_poly gives them.

    Raises:
      ValueError: for rates whose common divisor is so small that the filters would fill the memory.
    """
    common = math.gcd(from_hz, to_hz)
    down, up = from_hz // common, to_hz // common
    if down == up:
        return samples
    half = _REACH * max(up, down)
    taps = 2 * half // up + 1
    # Output sample m up + r is a product of the filter of phase r and input samples up to m down + ends[r].
    ends, starts = np.divmod(np.arange(up) * down + half, up)
    width = int(ends[-1]) + taps
    if up * width > _MAX_TAPS:
        raise ValueError(f"{from_hz} Hz cannot be brought to {to_hz} Hz here; resample the file first.")
    place = np.arange(-half, half + 1)
    low_pass = np.sinc(place / max(up, down)) * np.kaiser(len(place), _BETA)
    low_pass = np.pad(low_pass * (up / low_pass.sum()), (0, up))
    filters = np.zeros((up, width), dtype=np.float32)
    for phase, (end, start) in enumerate(zip(ends.tolist(), starts.tolist())):
        filters[phase, end : end + taps] = low_pass[start::up][:taps][::-1]
    size = -(-len(samples) * up // down)
    padded = np.pad(samples, (taps - 1, width + down))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, width)[::down]
    return (pieces @ filters.T).reshape(-1)[:size]


def read_audio(path: Path, sample_rate_hz: int) -> np.ndarray:
    """The samples (S,) float32 in [-1, 1] of a file at a rate; several channels become their mean.

    As `transcribe`, it takes nothing whose header announces more or less audio than there is.

    Raises:
      ValueError: for a file that is missing, no audio, cut short, empty or not finite; the sentence names it.
    """
    name, reason = shown_name(str(path)), why_no_audio(path)
    if reason:
        raise ValueError(f"{name}: {reason}.")
    try:
        held = examine(path)
        samples = decoded(path, held)
    except (OSError, RuntimeError, BadSoundFile) as error:
        reason = " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".")
        raise ValueError(f"{name}: cannot be read as audio: {reason}.") from None
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError(f"{name}: {'holds no audio' if not len(samples) else 'has samples that are not finite'}.")
    mixed = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    try:
        return resampled(mixed, held.rate_hz, sample_rate_hz)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
