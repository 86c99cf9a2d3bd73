#!/usr/bin/env python3
"""Check the library's types with mypy: no room may have more errors than its ceiling, nor fewer without lowering it.

Usage: tools/check_types.py [cache folder]; with one, later checks take seconds. Prints the errors of the rooms that
have too many, and a table; exits with 1 if a room is not at its ceiling. Types of torch and others differ between
versions: the ceilings are those of the portable environment. What is checked says [tool.mypy] in pyproject.toml.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Mapping

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "icefall_discrete"
# Errors that a room still has; rooms that are not named have none. A ceiling is only ever lowered.
CEILINGS: Dict[str, int] = {}
_ERROR = re.compile(rf"{PACKAGE}/(\w+).*: error: ")


def errors_by_room(output: str) -> Dict[str, List[str]]:
    """The errors in what mypy printed, by room."""
    found: Dict[str, List[str]] = {}
    for line in output.splitlines():
        match = _ERROR.match(line)
        if match is not None:
            found.setdefault(match.group(1), []).append(line)
    return found


def verdicts(counts: Mapping[str, int], ceilings: Mapping[str, int]) -> Dict[str, str]:
    """For each room that is not at its ceiling, what to do about it."""
    found = {}
    for room in sorted({*counts, *ceilings}):
        count, ceiling = counts.get(room, 0), ceilings.get(room, 0)
        if count > ceiling:
            found[room] = f"{count} type errors, at most {ceiling} are allowed; correct them"
        elif count < ceiling:
            found[room] = f"{count} type errors, fewer than its ceiling; lower it from {ceiling} to {count}"
    return found


def run_mypy(cache: str) -> str:
    """What mypy prints about the library. Raises RuntimeError if it is not installed, or could not check."""
    command = [sys.executable, "-m", "mypy", "--cache-dir", cache, PACKAGE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 1) or "No module named mypy" in done.stderr:
        raise RuntimeError(f"mypy could not check the types: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def main(arguments: List[str]) -> int:
    """Check the library; `arguments`: a folder for mypy's cache, or none. Returns the exit status."""
    try:
        errors = errors_by_room(run_mypy(str(Path(arguments[0]).resolve()) if arguments else "/dev/null"))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    counts = {room: len(lines) for room, lines in errors.items()}
    wrong = verdicts(counts, CEILINGS)
    for room in wrong:
        if counts.get(room, 0) > CEILINGS.get(room, 0):
            print("\n".join(errors[room]))
    rooms = sorted(path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py"))
    for room in sorted({*rooms, *counts, *CEILINGS}):
        print(f"{room:<12} {counts.get(room, 0):>4} {wrong.get(room, '')}".rstrip())
    print(f"{sum(counts.values())} type errors, {sum(CEILINGS.values())} allowed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
