"""ABX: is a phone in its context nearer to another instance of itself than to one of another phone?

Schatz 2016, and the ZeroSpeech challenges (https://arxiv.org/abs/2011.11588, section 3.1): items are phones with the
one before and the one behind. A cell holds the items of two phones in one context; A and X are of the first phone, B of
the second. Within speakers all are of one, across them A and B are of one and X of another. The error of a cell is the
part of its triples in which X is nearer to B, those at equal distance half. The mean is over contexts (and speakers of
X), then over speakers, then over pairs of phones, as fastabx has it, whose distances by warping these are.
"""

import collections
import itertools
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from icefall_discrete.metrics.facts import Metric
from icefall_discrete.metrics.warping import mean_on_best_paths

_LEGEND = "ABX is how often a phone (or letter) in its context is nearer to another one than to itself; 50 is chance."
METRICS = (
    Metric("abx_within", "ABX within", "error rate", _LEGEND, is_aside=True),
    Metric("abx_across", "ABX across", "error rate", _LEGEND, is_aside=True),
)
# As the challenges have it: the most items of a phone, context and speaker, and the most speakers of X for one of A.
MAX_ITEMS, MAX_SPEAKERS_OF_X = 10, 5
_PAIRS_AT_ONCE = 2048


class AbxItem(NamedTuple):
    """frames: (T, D) of the whole item, T of 1 at least. context: of the phones around `phone`."""

    frames: np.ndarray
    phone: str
    context: Tuple[str, str]
    speaker: str


class AbxError(NamedTuple):
    """percent: None where no cell could be made. num_cells, num_triples: what it rests on."""

    percent: Optional[float]
    num_cells: int
    num_triples: int


Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _angular(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = (one / np.maximum(np.linalg.norm(one, axis=-1, keepdims=True), 1e-12) for one in (left, right))
    return np.arccos(np.clip(left @ right.swapaxes(-1, -2), -1.0, 1.0)) / np.pi


def _euclidean(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.linalg.norm(left[..., :, None, :] - right[..., None, :, :], axis=-1)


def _identical(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Part of the codebooks that differ; of one codebook 0 or 1."""
    return (left[..., :, None, :] != right[..., None, :, :]).mean(axis=-1)


DISTANCES: Dict[str, Distance] = {"angular": _angular, "euclidean": _euclidean, "identical": _identical}


def items_of(
    frames: np.ndarray, frame_rate_hz: float, segments: Sequence[Tuple[float, float, str]], speaker: str
) -> List[AbxItem]:
    """The items of an utterance: each label with those right before and behind it, and the frames of all three.

    Args:
      frames: (T, D). segments: (begin, end, label) in seconds, in order of time; a pause between two ends a context.
    """
    found = []
    for before, here, behind in zip(segments, segments[1:], segments[2:]):
        together = here[0] - before[1] < 1e-3 and behind[0] - here[1] < 1e-3
        # Frames whose middle lies inside.
        first, last = (int(np.ceil(sec * frame_rate_hz - 0.5)) for sec in (before[0], behind[1]))
        part = frames[max(0, first) : last]
        if together and len(part):
            found.append(AbxItem(part, here[2], (before[2], behind[2]), speaker))
    return found


def abx_error(items: Sequence[AbxItem], distance: str, across: bool = False, seed: int = 0) -> AbxError:
    """Error of items in percent, within speakers or across them.

    Args:
      distance: "angular", "euclidean" for features, "identical" for codes. seed: of the choice among many items.
    Raises:
      ValueError: for an unknown distance.
    """
    if distance not in DISTANCES:
        raise ValueError(f"unknown distance '{distance}'; known: {', '.join(DISTANCES)}.")
    generator = np.random.default_rng(seed)
    # By the phones of A and B, then by the speaker of both.
    errors: Dict[Tuple[str, str], Dict[str, List[float]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    num_triples = 0
    for groups in _contexts(items, generator):
        if len({phone for _, phone in groups}) < 2:
            continue
        distances = _GroupDistances(groups, DISTANCES[distance])
        for cell in _cells(groups, across, generator):
            error, triples = distances.error(*cell)
            errors[cell[0][1], cell[1][1]][cell[0][0]].append(error)
            num_triples += triples
    if not errors:
        return AbxError(None, 0, 0)
    pairs = [np.mean([np.mean(cells) for cells in speakers.values()]) for speakers in errors.values()]
    num_cells = sum(len(cells) for speakers in errors.values() for cells in speakers.values())
    return AbxError(100.0 * float(np.mean(pairs)), num_cells, num_triples)


_Group = Tuple[str, str]  # speaker, phone


def _contexts(items: Sequence[AbxItem], generator: np.random.Generator) -> List[Dict[_Group, List[np.ndarray]]]:
    """Of each context the frames of its items by speaker and phone, no more of each than MAX_ITEMS."""
    found: Dict[Tuple[str, str], Dict[_Group, List[np.ndarray]]] = {}
    for item in items:
        found.setdefault(item.context, {}).setdefault((item.speaker, item.phone), []).append(item.frames)
    return [
        {name: _some(group, MAX_ITEMS, generator) for name, group in found[context].items()}
        for context in sorted(found)
    ]


def _some(group: List[np.ndarray], most: int, generator: np.random.Generator) -> List[np.ndarray]:
    if len(group) <= most:
        return group
    return [group[place] for place in sorted(generator.permutation(len(group))[:most])]


def _cells(
    groups: Dict[_Group, List[np.ndarray]], across: bool, generator: np.random.Generator
) -> List[Tuple[_Group, _Group, _Group]]:
    """The groups of A, B and X of each cell of a context."""
    cells = []
    for a, b in itertools.permutations(sorted(groups), 2):
        if a[0] != b[0]:
            continue
        if not across:
            cells += [(a, b, a)] if len(groups[a]) > 1 else []
            continue
        others = [x for x in sorted(groups) if x[1] == a[1] and x[0] != a[0]]
        chosen = sorted(generator.permutation(len(others))[:MAX_SPEAKERS_OF_X])
        cells += [(a, b, others[place]) for place in chosen]
    return cells


class _GroupDistances:
    """Distances between the items of groups, computed when they are asked for."""

    def __init__(self, groups: Dict[_Group, List[np.ndarray]], distance: Distance) -> None:
        self._groups, self._distance = groups, distance
        self._known: Dict[Tuple[_Group, _Group], np.ndarray] = {}

    def error(self, a: _Group, b: _Group, x: _Group) -> Tuple[float, int]:
        """The error of a cell as a part of 1, and how many triples it has."""
        to_a, to_b = self._between(x, a), self._between(x, b)
        farther = 0.5 * (1.0 + np.sign(to_a[:, :, None] - to_b[:, None, :]))
        if a == x:
            farther[np.arange(len(to_a)), np.arange(len(to_a))] = 0.0  # an item is not compared with itself
        triples = len(to_a) * (to_a.shape[1] - (a == x)) * to_b.shape[1]
        return float(farther.sum() / triples), triples

    def _between(self, left: _Group, right: _Group) -> np.ndarray:
        if (left, right) not in self._known:
            self._known[left, right] = warped_distances(self._groups[left], self._groups[right], self._distance)
        return self._known[left, right]


def warped_distances(left: Sequence[np.ndarray], right: Sequence[np.ndarray], distance: Distance) -> np.ndarray:
    """Distances (M, M') of items (T, D) by warping: mean distance of frames along the best path."""
    rows, columns = (np.array([len(item) for item in side]) for side in (left, right))
    padded_left, padded_right = _padded(left), _padded(right)
    pairs = list(np.ndindex(len(left), len(right)))
    found = np.empty(len(pairs))
    for begin in range(0, len(pairs), _PAIRS_AT_ONCE):
        i, j = np.array(pairs[begin : begin + _PAIRS_AT_ONCE]).T
        costs = distance(padded_left[i], padded_right[j])
        found[begin : begin + len(i)] = mean_on_best_paths(costs, rows[i], columns[j])
    return found.reshape(len(left), len(right))


def _padded(items: Sequence[np.ndarray]) -> np.ndarray:
    padded = np.zeros((len(items), max(len(item) for item in items), items[0].shape[1]), dtype=items[0].dtype)
    for row, item in zip(padded, items):
        row[: len(item)] = item
    return padded
