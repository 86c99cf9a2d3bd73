"""The clone check counts copied blocks of ten code lines, in another file or the same, and the repository passes it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "check_clones.py"


def _run(*arguments):
    done = subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def _lines(prefix: str, number: int) -> str:
    return "".join(f"{prefix}_{i} = {i}\n" for i in range(number))


def test_nine_lines_in_common_are_no_clone(tmp_path):
    (tmp_path / "a.py").write_text(_lines("shared", 9) + _lines("a", 9))
    (tmp_path / "b.py").write_text(_lines("shared", 9) + _lines("b", 9))
    assert _run(tmp_path) == (0, "0 of 36 lines of code and settings are removable: 0.0% (must be under 1%)\n")


def test_ten_copied_lines_are_found_through_indentation_blanks_and_comments(tmp_path):
    (tmp_path / "a.py").write_text(_lines("a", 5) + _lines("shared", 10))
    indented = "".join(f"\n# why\n    {line}\n" for line in _lines("shared", 10).splitlines())
    (tmp_path / "b.py").write_text("if True:\n" + indented)
    status, output = _run(tmp_path)
    assert status == 1
    assert "10 of 26 lines of code and settings are removable" in output
    assert "b.py:4-31: stands already at" in output
    assert "a.py:6" in output


def test_a_copy_within_one_file_counts_once(tmp_path):
    (tmp_path / "a.py").write_text(_lines("shared", 12) + "x = 1\n" + _lines("shared", 12))
    assert "12 of 25 lines of code and settings" in _run(tmp_path)[1]


def test_a_repeated_line_is_no_clone_of_itself(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n" * 15)
    assert "0 of 15 lines of code and settings" in _run(tmp_path)[1]


def test_the_repository_passes():
    status, output = _run()
    assert status == 0, output


def test_settings_that_another_file_has_are_found_in_any_order(tmp_path):
    folder = tmp_path / "conf" / "recipes"
    folder.mkdir(parents=True)
    shared = {f"setting_{number}": number for number in range(10)}
    (folder / "a.json").write_text(json.dumps({"train": shared, "loader": {"max_duration": 9.0}}))
    (folder / "b.json").write_text(json.dumps({"train": dict(reversed(shared.items())), "seed": 1}))
    (folder / "c.json").write_text(json.dumps({"train": {**shared, "setting_9": 8}}))
    status, output = _run(tmp_path)
    assert status == 1
    assert "b.json: 10 of its 11 settings stand already in" in output and "c.json" not in output
