"""tools/setup_env.sh with a requirements file that needs no network, and what it says when pip cannot deliver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def setup_env(*arguments, **variables):
    command = ["bash", str(ROOT / "tools" / "setup_env.sh"), *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run(command, capture_output=True, text=True, env={**environment, **variables})


@pytest.fixture
def stand_in(tmp_path):
    """An interpreter that makes environments at once: its pip notes what it is asked and succeeds."""
    python = tmp_path / "python"
    python.write_text(
        f"""#!/bin/bash
if [ "$1 $2" = "-m venv" ]; then
  folder="${{!#}}"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; exit
elif [ "$1 $2" = "-m pip" ]; then
  shift 2; echo "$@" >>{tmp_path}/pip-calls
  if [ -e {tmp_path}/no-network ]; then echo "ERROR: No matching distribution found for torch==2.13.0"; exit 1; fi
  echo "Collecting something"; exit
fi
exec {sys.executable} "$@"
"""
    )
    python.chmod(0o755)
    return python


def calls(tmp_path):
    return (tmp_path / "pip-calls").read_text().splitlines()


def flags(stand_in, tmp_path):
    return ["--env", "portable", "--python", stand_in, "--venv-root", tmp_path / "venvs"]


def test_makes_the_environment_once_and_prints_its_folder(stand_in, tmp_path):
    first = setup_env(*flags(stand_in, tmp_path))
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{tmp_path}/venvs/portable\n"
    assert len(calls(tmp_path)) == 2 and calls(tmp_path)[1].endswith(f"--no-deps --no-build-isolation -e {ROOT}")
    second = setup_env(*flags(stand_in, tmp_path))
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert len(calls(tmp_path)) == 2


def test_nobody_elses_environment_is_changed(stand_in, tmp_path):
    setup_env(*flags(stand_in, tmp_path))
    theirs, marker = tmp_path / "venvs" / "portable", tmp_path / "venvs" / "portable" / ".complete"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "portable").symlink_to(theirs)
    done = setup_env(*flags(stand_in, tmp_path)[:-1], mine, "--torch", "torch>=2.1")
    assert done.returncode == 1 and f"{mine}/portable is a link, to {theirs}; " in done.stderr
    (tmp_path / "other").mkdir()
    marker.write_text(marker.read_text().replace(f"root={ROOT}", f"root={tmp_path / 'other'}"))
    done = setup_env(*flags(stand_in, tmp_path))
    assert (
        done.returncode == 1 and f"is the environment of {tmp_path / 'other'}; give another --venv-root" in done.stderr
    )
    assert len(calls(tmp_path)) == 2
    (tmp_path / "other").rmdir()  # the repository was moved
    assert setup_env(*flags(stand_in, tmp_path)).returncode == 0 and len(calls(tmp_path)) == 4


def test_any_folder_name_does(stand_in, tmp_path):
    odd = tmp_path / "it's 50% ü $HOME"
    done = setup_env(*flags(stand_in, tmp_path)[:-1], odd)
    assert (done.returncode, done.stdout) == (0, f"{odd}/portable\n"), done.stderr
    shown = subprocess.run(
        ["bash", "-c", '. "$1/portable/exports.sh"; echo "$VIRTUAL_ENV"; echo "${PATH%%:*}"', "x", str(odd)],
        capture_output=True,
        text=True,
    )
    assert shown.stdout == f"{odd}/portable\n{odd}/portable/bin\n"


def test_another_requirement_is_installed_into_the_same_environment(stand_in, tmp_path):
    setup_env(*flags(stand_in, tmp_path))
    setup_env(*flags(stand_in, tmp_path), "--torch", "torch>=2.1")
    assert len(calls(tmp_path)) == 4
    wanted = (tmp_path / "venvs" / "portable" / "requirements.txt").read_text().splitlines()
    assert "torch>=2.1" in wanted and "torch==2.13.0" not in wanted


def test_no_network_is_one_sentence_and_the_next_call_tries_again(stand_in, tmp_path):
    (tmp_path / "no-network").touch()
    failed = setup_env(*flags(stand_in, tmp_path))
    assert failed.returncode == 1 and failed.stdout == ""
    last = failed.stderr.splitlines()[-1]
    assert last.startswith(
        "setup_env.sh: the portable environment could not be installed (ERROR: No matching distribution"
    )
    assert "check the network" in last and "what is installed is kept" in last
    (tmp_path / "no-network").unlink()
    assert setup_env(*flags(stand_in, tmp_path)).returncode == 0


def test_the_k2_environment_takes_the_wheel_of_its_python_and_proves_it(stand_in, tmp_path):
    k2 = ["--env", "k2", "--python", stand_in, "--venv-root", tmp_path / "venvs"]
    stand_in.write_text(stand_in.read_text().replace("exec ", 'case "$*" in *ensurepip*) exit;; esac\nexec '))
    (tmp_path / "k2.py").write_text("")
    made = setup_env(*k2, PYTHONPATH=str(tmp_path))
    assert made.returncode == 0, made.stderr
    wheel = next(call for call in calls(tmp_path) if call.endswith("requirements/k2-wheel.txt"))
    assert "--require-hashes" in wheel and "--no-deps" in wheel
    (tmp_path / "k2.py").write_text("import _k2_of_another_python")
    (tmp_path / "venvs" / "k2" / ".complete").unlink()
    failed = setup_env(*k2, PYTHONPATH=str(tmp_path))
    assert failed.returncode == 1 and not (tmp_path / "venvs" / "k2" / ".complete").exists()
    assert "cannot be imported (ModuleNotFoundError: No module named '_k2_of_another_python')" in failed.stderr


def test_exports_can_be_sourced_under_strict_shells(stand_in, tmp_path):
    folder = setup_env(*flags(stand_in, tmp_path)).stdout.strip()
    script = f"set -eou pipefail; . {folder}/exports.sh; echo $OMP_WAIT_POLICY; command -v python"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert shown.stdout.splitlines() == ["PASSIVE", f"{folder}/bin/python"]


def test_a_wrong_interpreter_is_named(tmp_path):
    done = setup_env("--env", "portable", "--python", tmp_path / "no-python", "--venv-root", tmp_path / "venvs")
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"setup_env.sh: no working Python 3.10 or newer with venv at {tmp_path}/no-python; install"
    )


def test_an_unknown_environment_is_refused():
    done = setup_env("--env", "conda")
    assert (done.returncode, done.stderr) == (
        1,
        "setup_env.sh: --env must be k2, portable or auto, not 'conda'\n",
    )
