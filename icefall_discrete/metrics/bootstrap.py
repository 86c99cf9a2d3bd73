"""Intervals of figures of a set, by drawing its utterances with replacement."""

from typing import Callable, Tuple

import numpy as np


def bootstrap_interval(
    num_utterances: int, figure_of: Callable[[np.ndarray], float], replications: int = 1000
) -> Tuple[float, float]:
    """95 % interval of a figure, (low, high), in its unit.

    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004;
    mean -/+ 1.96 standard deviations over the replications, as Kaldi's compute-wer-bootci.

    Args:
      num_utterances: N. figure_of: the figure of the utterances drawn, (N,) indices from 0 to N - 1; one that is not
        finite does not count.
    """
    figures = bootstrap_figures(num_utterances, figure_of, replications)
    half_width = 1.96 * figures.std()
    return float(figures.mean() - half_width), float(figures.mean() + half_width)


def bootstrap_figures(num_utterances: int, figure_of: Callable[[np.ndarray], float], replications: int) -> np.ndarray:
    """The figure of each drawing, those left out that are not finite; arguments as of bootstrap_interval."""
    generator = np.random.default_rng(0)
    figures = np.empty(replications)
    for replication in range(replications):
        figures[replication] = figure_of(generator.integers(num_utterances, size=num_utterances))
    return figures[np.isfinite(figures)]
