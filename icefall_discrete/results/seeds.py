"""Runs that differ in their seed alone are one line of every table: means over the runs, and their spread.

A line has the form of a result, so that tables and charts take either. Below its name, a figure of several runs holds
their mean as `rate` (or `value`), their sample standard deviation as `spread`, and mean - spread to mean + spread in
place of the `interval` over utterances that a single run has. `runs` are the results that it was made of.
"""

import statistics
from typing import Any, Callable, Dict, Hashable, List, Mapping, Sequence

from icefall_discrete.results.ledger import Json, seed_of, what_was_run

RUNS = "runs"
_FIGURE = ("rate", "value")


def over_seeds(rows: Sequence[Json]) -> List[Json]:
    """One line for all results of a name that differ in their seed alone, in the order of `rows`."""
    groups: Dict[Hashable, List[Json]] = {}
    for row in rows:
        groups.setdefault(_all_but_seed(row), []).append(row)
    return [{**(_merged(runs) if len(runs) > 1 else runs[0]), RUNS: runs} for runs in groups.values()]


def runs_of(line: Json) -> List[Json]:
    """The results that a line was made of; a result is its own only run."""
    return line.get(RUNS, [line])


def of_the_searched(rows: Sequence[Json]) -> List[Json]:
    """The results of models that another search than the recipe's own was tried on, all their searches."""
    searched = {_model(row) for row in rows if row.get("search")}
    return [row for row in rows if _model(row) in searched]


def _name(row: Json) -> Hashable:
    return row["feature_type"], row["recipe"], row["device"]


def _digest(row: Json) -> Hashable:
    return (row.get("training") or {}).get("digest_but_seed")


def _model(row: Json) -> Hashable:
    return _name(row), seed_of(row), _digest(row)


def _all_but_seed(row: Json) -> Hashable:
    # Results of before the digest was noted are told apart by their commands; early digests pass over the processes.
    processes = (row.get("training") or {}).get("world_size") or 1
    return _name(row), row.get("search") or "", processes, _digest(row) or repr(what_was_run(row))


def _merged(values: Sequence[Any]) -> Any:
    first = values[0]
    if _all_are(values, lambda value: isinstance(value, Mapping)):
        merged = {key: _merged([value[key] for value in values]) for key in first if all(key in one for one in values)}
        return _with_spread(merged, values) if _all_are(values, _is_figure) else merged
    if _all_are(values, lambda value: value == first):
        return first
    return statistics.fmean(values) if _all_are(values, _is_number) else None


def _with_spread(merged: Json, values: Sequence[Json]) -> Json:
    name = next(one for one in _FIGURE if one in merged)
    spread, mean = statistics.stdev(value[name] for value in values), merged[name]
    return {**merged, "spread": spread, "interval": [mean - spread, mean + spread]}


def _all_are(values: Sequence[Any], fits: Callable[[Any], bool]) -> bool:
    return all(map(fits, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_figure(value: Any) -> bool:
    return isinstance(value, Mapping) and any(_is_number(value.get(name)) for name in _FIGURE)
