"""The type check counts errors by room and holds each room to its ceiling; the repository is at its ceilings."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "check_types.py"

PRINTED = """\
icefall_discrete/base/names.py:3: error: Name "x" is not defined  [name-defined]
icefall_discrete/base/names.py:3: note: Perhaps y
icefall_discrete/nn/heads/joiner.py:7: error: Module has no attribute "a: error: b"  [attr-defined]
icefall_discrete/nn/lengths.py:7: error: Missing return statement  [return]
Found 3 errors in 3 files (checked 270 source files)
"""


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("check_types", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_errors_are_counted_by_room(tool):
    found = tool.errors_by_room(PRINTED)
    assert {room: len(lines) for room, lines in found.items()} == {"base": 1, "nn": 2}


def test_a_ceiling_holds_from_both_sides(tool):
    assert not tool.verdicts({"nn": 2}, {"nn": 2, "base": 0})
    assert "at most 1 are allowed" in tool.verdicts({"nn": 2}, {"nn": 1})["nn"]
    assert "lower it from 3 to 2" in tool.verdicts({"nn": 2}, {"nn": 3})["nn"]
    assert "lower it from 1 to 0" in tool.verdicts({}, {"nn": 1})["nn"]
    assert "at most 0 are allowed" in tool.verdicts({"base": 1}, {})["base"]


def test_the_rooms_that_others_build_on_have_no_ceiling(tool):
    assert not {"base", "text", "audio", "metrics", "data", "training", "systems"} & set(tool.CEILINGS)


def test_the_library_is_at_its_ceilings(request):
    pytest.importorskip("mypy", reason="mypy is not installed in this environment")
    cache = request.config.cache.mkdir("mypy")
    done = subprocess.run([sys.executable, TOOL, cache], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
