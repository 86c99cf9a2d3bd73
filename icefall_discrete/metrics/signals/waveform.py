"""SI-SDR: how much of a signal is its reference at some level, against all that is not, in dB."""

import math

from icefall_discrete.metrics.signals.pairs import Pair

# Of equal signals the ratio is as large as rounding lets it be; from here on none is told from another.
MAX_SI_SDR_DB = 100.0


def si_sdr(pair: Pair) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, between -100 and 100, means taken off.

    Le Roux et al. 2019, "SDR - half-baked or well done?", https://arxiv.org/abs/1811.02508, equation 3. Signals without
    a common phase, as of most vocoders, have values far below 0 however good they sound.
    """
    reference, estimate = (samples - samples.mean() for samples in (pair.reference, pair.estimate))
    power = float(reference @ reference)
    if power == 0.0:
        return -MAX_SI_SDR_DB
    target = (float(estimate @ reference) / power) * reference
    noise = estimate - target
    signal_power, noise_power = float(target @ target), float(noise @ noise)
    least = 10.0 ** (-MAX_SI_SDR_DB / 10)
    if noise_power <= least * signal_power:
        return MAX_SI_SDR_DB if signal_power else -MAX_SI_SDR_DB
    if signal_power <= least * noise_power:
        return -MAX_SI_SDR_DB
    return 10.0 * math.log10(signal_power / noise_power)
