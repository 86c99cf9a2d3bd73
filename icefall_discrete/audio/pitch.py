"""F0 of speech by autocorrelation: the periods that a frame may have, and the smoothest way through all frames.

Boersma 1993, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
sound", with the settings that Praat's documentation gives for its method "raw autocorrelation". Peaks are interpolated
by parabolas. T frames, S samples, C candidates.
"""

from typing import Tuple

import numpy as np

HOP_SEC = 0.01
FLOOR_HZ, CEILING_HZ = 60.0, 500.0
_PERIODS_IN_WINDOW = 3.0
_CANDIDATES = 14
_SILENCE, _VOICING = 0.03, 0.45
_OCTAVE_COST, _OCTAVE_JUMP_COST, _VOICING_CHANGE_COST = 0.01, 0.35, 0.14
_BLOCK_FRAMES = 1000  # analysed at once, so that an hour of audio needs no more memory than ten seconds


def pitch(samples: np.ndarray, sample_rate_hz: int, hop_sec: float = HOP_SEC) -> np.ndarray:
    """F0 in Hz (T,) of samples (S,), 0 where there is no voice; frame t is centred on t x `hop_sec` seconds.

    Raises:
      ValueError: for samples that are not one finite channel, or a rate that holds no F0 of 500 Hz.
    """
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"F0 of samples {samples.shape}: expected one channel (S,) of finite values.")
    if sample_rate_hz < 4 * CEILING_HZ:
        raise ValueError(f"F0 at {sample_rate_hz} Hz: expected at least {4 * CEILING_HZ:.0f} Hz.")
    hop, window = round(hop_sec * sample_rate_hz), round(_PERIODS_IN_WINDOW / FLOOR_HZ * sample_rate_hz)
    num_frames = 1 + len(samples) // hop
    padded = np.pad(samples, (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:num_frames]
    loudest = float(np.abs(samples - samples.mean()).max(initial=0.0)) if len(samples) else 0.0
    if loudest == 0.0:
        return np.zeros(num_frames)
    blocks = [frames[begin : begin + _BLOCK_FRAMES] for begin in range(0, num_frames, _BLOCK_FRAMES)]
    found = [_candidates(block, sample_rate_hz, loudest) for block in blocks]
    return _smoothest(np.concatenate([f0 for f0, _ in found]), np.concatenate([strength for _, strength in found]))


def _candidates(frames: np.ndarray, sample_rate_hz: int, loudest: float) -> Tuple[np.ndarray, np.ndarray]:
    """F0 (T, C) that frames (T, W) may have, 0 for no voice, and how strongly each is heard (T, C)."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    window = np.hanning(frames.shape[1] + 2)[1:-1]
    shortest, longest = int(sample_rate_hz / CEILING_HZ) - 1, int(sample_rate_hz / FLOOR_HZ) + 1
    heard = _autocorrelation(frames * window, longest + 1) / _autocorrelation(window[None], longest + 1)
    before, here, after = heard[:, shortest - 1 : -2], heard[:, shortest:-1], heard[:, shortest + 1 :]
    bend = before - 2 * here + after
    moved = np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -1.0), -0.5, 0.5)  # of peaks, which bend down
    periods = (np.arange(shortest, longest) + moved) / sample_rate_hz
    strength = here - 0.25 * (before - after) * moved - _OCTAVE_COST * np.log2(FLOOR_HZ * periods)
    f0 = 1.0 / periods
    allowed = (here > before) & (here >= after) & (here > 0) & (f0 >= FLOOR_HZ) & (f0 <= CEILING_HZ)
    strength = np.where(allowed, strength, -np.inf)
    best = np.argsort(-strength, axis=1)[:, :_CANDIDATES]
    level = np.abs(frames).max(axis=1) / loudest
    silence = _VOICING + np.maximum(0.0, 2.0 - level / (_SILENCE / (1.0 + _VOICING)))
    return (
        np.concatenate([np.zeros((len(frames), 1)), np.take_along_axis(f0, best, axis=1)], axis=1),
        np.concatenate([silence[:, None], np.take_along_axis(strength, best, axis=1)], axis=1),
    )


def _autocorrelation(frames: np.ndarray, num_lags: int) -> np.ndarray:
    """Of frames (T, W) at lags 0 to `num_lags` - 1, as part of that at lag 0; 0 for frames of zeros."""
    size = 1 << (frames.shape[1] + num_lags).bit_length()
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    found = np.fft.irfft(power, size)[:, :num_lags]
    return found / np.where(found[:, :1] > 0, found[:, :1], 1.0)


def _smoothest(f0: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The F0 (T,) whose strengths less the costs of its jumps are the most (Viterbi)."""
    voiced, octaves = f0 > 0, np.log2(np.maximum(f0, 1.0))
    score, came_from = strength[0], np.zeros(f0.shape, dtype=np.int64)
    for t in range(1, len(f0)):
        jump = _OCTAVE_JUMP_COST * np.abs(octaves[t - 1][:, None] - octaves[t][None])
        both, change = voiced[t - 1][:, None] & voiced[t][None], voiced[t - 1][:, None] != voiced[t][None]
        ways = score[:, None] - np.where(both, jump, _VOICING_CHANGE_COST * change)
        came_from[t] = ways.argmax(axis=0)
        score = ways.max(axis=0) + strength[t]
    place, path = int(score.argmax()), np.zeros(len(f0))
    for t in range(len(f0) - 1, -1, -1):
        path[t] = f0[t, place]
        place = came_from[t, place]
    return path
