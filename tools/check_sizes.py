#!/usr/bin/env python3
"""Refuse long files (500 lines and more), long functions (60 lines and more) and functions of more than 8 arguments.

Usage: tools/check_sizes.py [folder or file ...]; without arguments, the whole repository. Prints each finding as
`path:line: what` and exits with 1 if there is one.
"""

import ast
import sys
from pathlib import Path
from typing import Iterator, List, Union

MAX_FILE_LINES = 499
MAX_FUNCTION_LINES = 59
MAX_ARGUMENTS = 8
SUFFIXES = (".py", ".sh")
FOLDERS = ("icefall_discrete", "local", "egs", "tools", "test")

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


def source_files(roots: List[Path]) -> List[Path]:
    """Python and shell files under `roots` (a file stands for itself), sorted; hidden folders are left out."""
    found = set()
    for root in roots:
        candidates = [root] if root.is_file() else root.rglob("*")
        for path in candidates:
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.suffix in SUFFIXES and path.is_file() and not hidden:
                found.add(path)
    return sorted(found)


def count_arguments(function: Function) -> int:
    """Arguments of a function, `self` and `cls` not counted."""
    arguments = function.args
    names = [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    variadic = sum(a is not None for a in (arguments.vararg, arguments.kwarg))
    return len([name for name in names if name not in ("self", "cls")]) + variadic


def function_findings(source: str) -> Iterator[str]:
    """Findings on the functions of a Python file, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        lines = node.end_lineno - node.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield f"{node.lineno}: function {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed"
        arguments = count_arguments(node)
        if arguments > MAX_ARGUMENTS:
            yield f"{node.lineno}: function {node.name} has {arguments} arguments, at most {MAX_ARGUMENTS} are allowed"


def findings(path: Path) -> List[str]:
    """All findings on one file, as `path:line: what`."""
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    found = [f"1: file has {lines} lines, at most {MAX_FILE_LINES} are allowed"] if lines > MAX_FILE_LINES else []
    if path.suffix == ".py":
        found += function_findings(source)
    return [f"{path}:{finding}" for finding in found]


def main(arguments: List[str]) -> int:
    """Check the paths in `arguments`; return the exit status."""
    repository = Path(__file__).resolve().parent.parent
    roots = [Path(argument) for argument in arguments] or [repository / folder for folder in FOLDERS]
    missing = [str(root) for root in roots if not root.exists()]
    if missing:
        print(f"{', '.join(missing)}: no such file or folder", file=sys.stderr)
        return 2
    files = source_files(roots)
    found = [finding for path in files for finding in findings(path)]
    print("\n".join([*found, f"{len(files)} files checked, {len(found)} findings"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
