"""How much of a code tells only the time since its utterance began.

Encoders with absolute positions (Whisper, for one) write them into a few directions of large variance, and k-means then
spends its clusters on them: codes that look well used but say when, not what. The mutual information of code and time
shows it. Silence before and after speech gives every tokenizer a little.
"""

from typing import List, Sequence

import numpy as np

BIN_SEC = 0.2
NUM_BINS = 30


class PositionInformation:
    """Counts pairs of id and time, in bins of 0.2 s up to 6 s, of K codebooks over any number of utterances."""

    def __init__(self, codebook_sizes: Sequence[int], frame_rate_hz: float) -> None:
        self._bin_frames = BIN_SEC * frame_rate_hz
        self._counts: List[np.ndarray] = [np.zeros((size, NUM_BINS), dtype=np.int64) for size in codebook_sizes]

    def add(self, codes: np.ndarray) -> None:
        """Count the codes (T, K) of a whole utterance; frames after 6 s are left out."""
        bins = (np.arange(len(codes)) / self._bin_frames).astype(np.int64)
        inside = bins < NUM_BINS
        for k, counts in enumerate(self._counts):
            cells = codes[inside, k].astype(np.int64) * NUM_BINS + bins[inside]
            counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)

    @property
    def fraction_of_entropy(self) -> float:
        """Mutual information of code and time, as part of the codes' entropy; 0 if nothing was counted.

        Summed over codebooks, after the correction of Miller and Madow for few counts: an empirical information is too
        large by about (cells - rows - columns + 1) / 2n nats, n counts in that many occupied cells, rows and columns.
        """
        information = sum(_mutual_information(counts) for counts in self._counts)
        entropy = sum(_entropy(counts.sum(axis=1)) for counts in self._counts)
        return max(0.0, information) / entropy if entropy > 0.0 else 0.0


def _entropy(counts: np.ndarray) -> float:
    """Entropy in nats of what was counted."""
    probabilities = counts[counts > 0] / max(1, counts.sum())
    return float(-(probabilities * np.log(probabilities)).sum())


def _mutual_information(counts: np.ndarray) -> float:
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    occupied = [int((part > 0).sum()) for part in (counts, rows, columns)]
    excess = (occupied[0] - occupied[1] - occupied[2] + 1) / (2 * max(1, counts.sum()))
    return _entropy(rows) + _entropy(columns) - _entropy(counts.ravel()) - excess
