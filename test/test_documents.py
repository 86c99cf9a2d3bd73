"""Documents: every room says what it holds, and what a document points to exists."""

import ast
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`([\w./]+\.(?:py|sh|md))`")
DOCUMENTS = sorted(
    path
    for folder in (".", "docs", "egs", "icefall_discrete", "tools")
    for path in (ROOT / folder).rglob("*.md")
    if not any(
        part.startswith(".") or (part in ("data", "exp", "download") and "egs" in path.parts)
        for part in path.parts[len(ROOT.parts) :]
    )
    and (folder != "." or path.parent == ROOT)
)


def test_every_room_has_a_readme():
    rooms = [path.parent for path in (ROOT / "icefall_discrete").glob("*/__init__.py")]
    assert not [room.name for room in rooms if not (room / "README.md").is_file()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_table_has_a_head_and_rows_of_its_width(path):
    """A blank line within a table makes text of the rows below it, and a cell too many is not shown."""
    lines = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL).splitlines()
    tables = [list(rows) for is_row, rows in itertools.groupby(lines, lambda line: line.startswith("|")) if is_row]
    for rows in tables:
        assert len(rows) > 1 and re.fullmatch(r"[-| :]+", rows[1]), rows[0]
        widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
        assert not [row for row, width in zip(rows, widths) if width != widths[0]]


@pytest.mark.parametrize(
    "path", [p for p in DOCUMENTS if p.parent.parent.name == "icefall_discrete"], ids=lambda p: p.parent.name
)
def test_files_that_a_readme_names_exist(path):
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    own = [path.parent, *(folder for folder in path.parent.iterdir() if folder.is_dir())]
    folders = (*own, ROOT, ROOT / "icefall_discrete", ROOT / "local")
    named = [name for name in FILE.findall(text) if name != "run.sh"]  # every recipe has one
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert not missing


def test_the_readme_names_all_extras():
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (extras,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXTRAS"
    )
    named = re.search(r"extras: `([^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(named.group(1).split()) == sorted(ast.literal_eval(extras))
