"""Where a recogniser errs: error rates of utterances in groups of about the same size, and what is taken for what."""

import collections
from typing import Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from icefall_discrete.metrics.wer import ErrorCounts, Pair, Transcript, align, total_errors
from icefall_discrete.results.inline_charts import Bar

_GROUPS = 6
_LEAST = 5  # utterances of a group, below which its rate says nothing
_NOTHING = "·"


class Confusion(NamedTuple):
    """What was said, what was recognised in its place ("·": nothing), and how often."""

    ref: str
    hyp: str
    times: int


def groups_of(
    values: Mapping[str, float], counts: Mapping[str, ErrorCounts], shown: Callable[[float], str]
) -> List[Bar]:
    """Error rates of utterances by a value, such as their length: groups with about as many utterances each.

    Args:
      values: by cut id; utterances without one are left out. counts: error counts by cut id.
      shown: a value in words.
    Returns:
      a bar a group: from where to where, the error rate in percent, and of how many utterances. Empty
      for less than two groups.
    """
    ordered = sorted((value, name) for name, value in values.items() if name in counts)
    size = max(_LEAST, -(-len(ordered) // _GROUPS))
    parts: List[List[Tuple[float, str]]] = [[]]
    for value, name in ordered:
        if len(parts[-1]) >= size and value != parts[-1][-1][0]:  # equal values stay together
            parts.append([])
        parts[-1].append((value, name))
    bars = []
    for group in parts:
        rate = total_errors(counts[name] for _, name in group).known_rate
        if len(group) >= _LEAST and rate is not None:
            first, last = shown(group[0][0]), shown(group[-1][0])
            bars.append(Bar(first if first == last else f"{first}\nto {last}", rate, f"{rate:.1f}"))
    return bars if len(bars) > 1 else []


def _runs(pairs: Sequence[Pair]) -> List[Tuple[str, str]]:
    return [(ref or _NOTHING, hyp or _NOTHING) for ref, hyp in pairs if ref != hyp]


def confusions(transcripts: Sequence[Transcript], most: int) -> List[Confusion]:
    """The most frequent errors over words, the most frequent first; insertions and deletions among them."""
    counted: Dict[Tuple[str, str], int] = collections.Counter(
        pair for transcript in transcripts for pair in _runs(align(transcript.ref, transcript.hyp))
    )
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(ref, hyp, count) for (ref, hyp), count in ordered[:most]]
