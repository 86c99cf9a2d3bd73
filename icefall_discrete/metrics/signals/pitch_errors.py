"""GPE, VDE, FFE: how many frames have another pitch, another voicing, one or the other."""

from typing import NamedTuple, Optional

import numpy as np

GROSS = 0.2  # of the reference's F0; Nakatani et al. 2008, "A method for fundamental frequency estimation ..."


class PitchErrors(NamedTuple):
    """In percent. gross: of frames voiced in both, those whose F0 is off by more than a fifth (None without such
    frames). voicing: of all, those voiced in one only. frame: of all, those with either error (Chu and Alwan 2009)."""

    gross: Optional[float]
    voicing: float
    frame: float


def pitch_errors(reference_hz: np.ndarray, estimate_hz: np.ndarray) -> PitchErrors:
    """Errors of F0 (T,) against F0 (T',) of the reference, both in Hz at the same frame rate, 0 where unvoiced.

    Frames that only one of them has are left out.

    Raises:
      ValueError: if they have no frame in common.
    """
    num = min(len(reference_hz), len(estimate_hz))
    if not num:
        raise ValueError(
            f"F0 of {len(reference_hz)} and {len(estimate_hz)} frames: no frames in common; expected one at least."
        )
    reference_hz, estimate_hz = reference_hz[:num], estimate_hz[:num]
    voiced = (reference_hz > 0) & (estimate_hz > 0)
    differs = (reference_hz > 0) != (estimate_hz > 0)
    gross = voiced & (np.abs(estimate_hz - reference_hz) > GROSS * reference_hz)
    return PitchErrors(
        100.0 * float(gross.sum() / voiced.sum()) if voiced.any() else None,
        100.0 * float(differs.mean()),
        100.0 * float((differs | gross).mean()),
    )
