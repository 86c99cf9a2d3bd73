"""How well codes use their codebooks, and what they cost in bits and bytes.

A codebook of V entries can carry log2 V bits a frame; one whose entries are used unevenly carries its entropy H, as if
it had 2^H entries (its perplexity). Entries that never occur in training data have an embedding that is never learned.
"""

import math
from typing import Dict, List, NamedTuple, Sequence

import numpy as np


class CodebookUse(NamedTuple):
    """One codebook: part of its entries that occur, entropy in bits a frame, perplexity 2^entropy."""

    fraction_used: float
    entropy_bits: float
    perplexity: float


class CodeUsage:
    """Counts ids of K codebooks of sizes V_k over any number of (T, K) arrays."""

    def __init__(self, codebook_sizes: Sequence[int]) -> None:
        self._sizes = np.asarray(codebook_sizes, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]]).astype(np.int64)
        self._counts = np.zeros(int(self._sizes.sum()), dtype=np.int64)
        self.num_frames = 0

    def add(self, codes: np.ndarray) -> None:
        """Count `codes` (T, K), 0 <= id < V_k. Raises ValueError for another K or an id out of range."""
        if codes.ndim != 2 or codes.shape[1] != len(self._sizes):
            raise ValueError(f"codes are {codes.shape}, expected (T, {len(self._sizes)}).")
        ids = codes.astype(np.int64)
        if ids.size and (ids.min() < 0 or (ids >= self._sizes).any()):
            raise ValueError(f"ids range from {ids.min()} to {ids.max()}, codebook sizes are {self._sizes.tolist()}.")
        self._counts += np.bincount((ids + self._starts).ravel(), minlength=len(self._counts))
        self.num_frames += len(codes)

    def counts(self) -> List[np.ndarray]:
        """Occurrences of each id, one (V_k,) array a codebook."""
        return np.split(self._counts, self._starts[1:])

    def codebooks(self) -> List[CodebookUse]:
        """Use of each codebook; all zero (perplexity 1) if nothing was counted."""
        return [_use(counts) for counts in self.counts()]

    @property
    def entropy_bits_per_frame(self) -> float:
        """Sum of the codebooks' entropies: the bits a frame needs if codebooks and frames are coded independently."""
        return sum(use.entropy_bits for use in self.codebooks())

    def summary(self) -> Dict[str, float]:
        """Means over codebooks, the least used codebook, and the total of entropies, for a report."""
        uses = self.codebooks()
        return {
            "fraction_used": float(np.mean([use.fraction_used for use in uses])),
            "fraction_used_min": min(use.fraction_used for use in uses),
            "perplexity": float(np.mean([use.perplexity for use in uses])),
            "perplexity_min": min(use.perplexity for use in uses),
            "entropy_bits_per_frame": self.entropy_bits_per_frame,
        }


def _use(counts: np.ndarray) -> CodebookUse:
    total = int(counts.sum())
    if total == 0:
        return CodebookUse(0.0, 0.0, 1.0)
    probabilities = counts[counts > 0] / total
    entropy = max(0.0, float(-(probabilities * np.log2(probabilities)).sum()))
    return CodebookUse(float((counts > 0).mean()), entropy, 2.0**entropy)


def nominal_bits_per_second(frame_rate_hz: float, codebook_sizes: Sequence[int]) -> float:
    """Bit rate of codes: frame rate x sum of log2 V_k (arXiv 2309.07377, Table 1)."""
    return frame_rate_hz * sum(math.log2(size) for size in codebook_sizes)


def bytes_per_hour(num_bytes: int, audio_sec: float) -> float:
    """Bytes on disk for an hour of audio. Raises ValueError if there is no audio."""
    if audio_sec <= 0:
        raise ValueError(f"bytes per hour of {audio_sec} seconds of audio: expected more than 0 seconds.")
    return num_bytes * 3600.0 / audio_sec
