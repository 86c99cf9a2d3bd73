"""Names that somebody wrote: several in one flag, and which known one was meant."""

from typing import Iterable, List, Sequence

MAX_EDITS = 3  # a name that is further away was hardly meant


def names_in(text: str) -> List[str]:
    """The names in the text of a flag, each once: commas are between them, and blanks may be.

    >>> names_in("dev, test,dev,")
    ['dev', 'test']
    """
    return list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def some_names_in(text: str, flag: str) -> List[str]:
    """The same, of a flag that needs one. Raises ValueError, naming it, where there is none."""
    names = names_in(text)
    if not names:
        raise ValueError(f"--{flag} is '{text}', expected one name or several, by commas; add one.")
    return names


def edits_between(a: str, b: str) -> int:
    """Characters to insert, remove or replace to make `a` of `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def nearest(name: str, known: Iterable[str]) -> List[str]:
    """The known name with the fewest edits as a list of one, or an empty one if none is near.

    Near is at most MAX_EDITS edits and at most half of its characters; or else a known name that begins with `name`.
    """
    names = sorted(set(known))
    ranked = sorted((edits_between(name, other), other) for other in names)
    near = [other for edits, other in ranked if edits <= MAX_EDITS and 2 * edits <= len(other)]
    return (near or [other for other in names if name and other.startswith(name)])[:1]


def did_you_mean(name: str, known: Iterable[str], mark: str = "") -> str:
    """`did you mean X?` with the nearest known name behind `mark`, empty if none is near."""
    return "".join(f"did you mean {mark}{other}?" for other in nearest(name, known))


def known_names(known: Sequence[str], name: str) -> str:
    """The end of a sentence about an unknown `name`, the nearest one first: `did you mean b? known: a, b.`"""
    meant = did_you_mean(name, known)
    return f"{f'{meant} ' if meant else ''}known: {', '.join(known)}."
