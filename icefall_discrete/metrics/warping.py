"""Dynamic time warping of many pairs at once, one antidiagonal after the other.

P pairs of T and T' frames.
"""

import numpy as np


def mean_on_best_paths(distances: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Mean distance (P,) along the path from the first to the last pair of frames whose sum is the least.

    Of equal ways that is taken which moves on in both, else in the columns: so does fastabx, whose paths these are.

    Args:
      distances: (P, T, T'), of each pair the first `rows` x `columns` (P,), 1 at least.
    """
    num, most_rows, most_columns = distances.shape
    everyone, ends = np.arange(num), rows + columns - 2
    # Places are rows; sums and lengths are those of the antidiagonal before the last, and of the last.
    sums, steps = [np.full((num, most_rows), np.inf) for _ in range(2)], [np.zeros((num, most_rows))] * 2
    means = np.empty(num)
    for diagonal in range(int(ends.max()) + 1):
        places = np.arange(max(0, diagonal - most_columns + 1), min(most_rows, diagonal + 1))
        total, length = np.full((num, most_rows), np.inf), np.zeros((num, most_rows))
        if diagonal == 0:
            total[:, 0], length[:, 0] = distances[:, 0, 0], 1.0
        else:
            best, taken = _above(sums[0], places, np.inf), _above(steps[0], places, 0.0)
            for way, count in (
                (sums[1][:, places], steps[1][:, places]),
                (_above(sums[1], places, np.inf), _above(steps[1], places, 0.0)),
            ):
                better = way < best
                best, taken = np.where(better, way, best), np.where(better, count, taken)
            total[:, places] = best + distances[:, places, diagonal - places]
            length[:, places] = taken + 1.0
        sums, steps = [sums[1], total], [steps[1], length]
        done = ends == diagonal
        means[done] = total[everyone[done], rows[done] - 1] / length[everyone[done], rows[done] - 1]
    return means


def _above(values: np.ndarray, places: np.ndarray, outside: float) -> np.ndarray:
    """Of values (P, T) those one row above `places`; `outside` above the first row."""
    found = values[:, places - 1]
    if places[0] == 0:
        found[:, 0] = outside
    return found
