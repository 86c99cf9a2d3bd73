"""Every public module, class, function and method of the library says what it is; examples in docstrings run."""

import ast
import doctest
import importlib
from pathlib import Path
from typing import Iterator, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "icefall_discrete").rglob("*.py"))


def _undocumented(node: ast.AST, prefix: str) -> Iterator[Tuple[int, str]]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or child.name.startswith("_"):
            continue
        if ast.get_docstring(child) is None and not _is_setter(child):
            yield child.lineno, prefix + child.name
        if isinstance(child, ast.ClassDef):
            yield from _undocumented(child, f"{prefix}{child.name}.")


def _is_setter(node: ast.AST) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in getattr(node, "decorator_list", []))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path.relative_to(ROOT)}: the module has no docstring"
    missing = [f"{path.relative_to(ROOT)}:{line}: {name}" for line, name in _undocumented(tree, "")]
    assert not missing, "no docstring: " + ", ".join(missing)


def test_examples_in_docstrings_run():
    for path in FILES:
        if ">>>" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            assert doctest.testmod(module).failed == 0, path
