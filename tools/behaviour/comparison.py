"""Two recordings held against each other.

A recording is {"made": {...}, "parts": {part: {"seconds": float, "sections": {section: {name: value}}}}}, the values
being texts. Sections whose name begins with "weights" hold hashes: the same hashes under other names are the same
weights. In those that begin with "figures" each figure must be found again, and further ones are no difference. In all
others each name must have its value.
"""

import collections
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

Values = Mapping[str, str]

SHOWN = 12  # differences of a section that are listed one by one
_LONGEST = 160


class Outcome(NamedTuple):
    """Sentences on what differs, and on what is worth knowing although nothing differs."""

    differences: List[str]
    notes: List[str]


def _shown(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."


def _left_over(old: Values, new: Values) -> Tuple[Dict[str, str], Dict[str, str]]:
    """What has no equal under its own name on the other side."""
    return (
        {name: value for name, value in old.items() if new.get(name) != value},
        {name: value for name, value in new.items() if old.get(name) != value},
    )


def _renamed(old: Values, new: Values) -> List[Tuple[str, str]]:
    """Pairs of names with equal values, each name once."""
    names = collections.defaultdict(list)
    for name, value in sorted(new.items(), reverse=True):
        names[value].append(name)
    return [(name, names[value].pop()) for name, value in sorted(old.items()) if names[value]]


def compare_sections(where: str, old: Values, new: Values, kind: str) -> Outcome:
    """Compare two sections of values; `kind` is the section's name."""
    only_old, only_new = _left_over(old, new)
    differences, notes = [], []
    if kind.startswith(("weights", "figures")):
        pairs = _renamed(only_old, only_new)
        if pairs:
            listed = ", ".join(f"{before} -> {after}" for before, after in pairs[:SHOWN])
            notes.append(f"{where}: {len(pairs)} renamed: {listed}{', ...' if len(pairs) > SHOWN else ''}")
        for before, after in pairs:
            del only_old[before], only_new[after]
    if kind.startswith("figures"):
        further = sorted(set(only_new) - set(only_old))
        if further:
            notes.append(f"{where}: {len(further)} further figures: {', '.join(further[:SHOWN])}")
        only_new = {name: value for name, value in only_new.items() if name in only_old}
    changed = sorted({*only_old, *only_new})
    for name in changed[:SHOWN]:
        before, after = (_shown(side.get(name, "absent")) for side in (only_old, only_new))
        differences.append(f"{where}: {name}: {before} -> {after}")
    if len(changed) > SHOWN:
        differences.append(f"{where}: and {len(changed) - SHOWN} more of {len({*old, *new})}")
    return Outcome(differences, notes)


def compare_records(old: Mapping[str, Any], new: Mapping[str, Any]) -> Outcome:
    """Compare all parts that the new recording has; those that only one of them has are noted."""
    differences, notes = [], []
    for name in sorted({*old["made"], *new["made"]}):
        before, after = (record["made"].get(name) for record in (old, new))
        if before != after:
            notes.append(f"made: {name}: {before} -> {after}")
    for part, recorded in new["parts"].items():
        if part not in old["parts"]:
            notes.append(f"{part}: not in the older recording")
            continue
        before, after = old["parts"][part]["sections"], recorded["sections"]
        for section in sorted({*before, *after}):
            where = f"{part}, {section}"
            found = compare_sections(where, before.get(section, {}), after.get(section, {}), section)
            differences += found.differences
            notes += found.notes
    missing = [part for part in old["parts"] if part not in new["parts"]]
    if missing:
        notes.append(f"not recorded anew: {', '.join(missing)}")
    return Outcome(differences, notes)
