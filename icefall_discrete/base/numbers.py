"""Numbers that somebody wrote into a file, or will read."""

import re
from typing import Optional

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)


def number_of(text: str) -> Optional[float]:
    """The number that a text is, or None: not `nan`, and nothing that only Python reads, such as `1_000`."""
    return float(text) if _NUMBER.fullmatch(text) else None


def hours_text(hours: float) -> str:
    """Hours of audio for a reader: two decimals, and a third below 0.1, where two would say next to nothing.

    Of less than 1.8 s it says `under 0.001`, as what is heard is never no audio.
    """
    text = f"{hours:.{2 if hours >= 0.1 else 3}f}"
    return "under 0.001" if hours > 0 and text == "0.000" else text
