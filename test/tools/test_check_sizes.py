"""The size check finds each kind of excess at its exact limit, and the repository passes it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "check_sizes.py"


def _run(*arguments):
    done = subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def _function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    "within, beyond, message",
    [
        ("x = 1\n" * 499, "x = 1\n" * 500, "file has 500 lines"),
        (_function(59), _function(60), "function f has 60 lines"),
        ("def f(self, a, b, c, d, e, g, h, i): ...\n", "def f(a, b, c, d, e, *g, h, i, j): ...\n", "9 arguments"),
    ],
)
def test_each_limit_is_exact(tmp_path, within, beyond, message):
    (tmp_path / "ok.py").write_text(within)
    assert _run(tmp_path)[0] == 0
    (tmp_path / "long.py").write_text(beyond)
    status, output = _run(tmp_path)
    assert status == 1
    assert message in output
    assert "long.py:1:" in output
    assert "ok.py" not in output


def test_hidden_folders_are_left_out_and_missing_ones_are_named(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "long.py").write_text("x = 1\n" * 600)
    assert _run(tmp_path)[0] == 0
    status, output = _run(tmp_path / "absent")
    assert status == 2
    assert "absent" in output


def test_the_repository_passes():
    status, output = _run()
    assert status == 0, output
