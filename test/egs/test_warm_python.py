"""What begins warm in a short pipeline is what it would be: its words, folder, variables, descriptors, and its end."""

import json
import os
import signal
import subprocess

import pytest
from stand_in import IS_PIPELINE
from warm_python import warm_variables

SCRIPT = """
import json, os, signal, sys
from sibling import NAME

seen = {"words": sys.argv, "folder": os.getcwd(), "variable": os.environ["OF_THE_TEST"], "heard": sys.stdin.read()}
print(json.dumps({**seen, "name": NAME, "main": __name__, "parent": os.getppid(), "beside": sys.path[0]}))
print("told", file=sys.stderr)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit({"ends": 0, "refuses": 3, "says why": "in a sentence"}[sys.argv[1]])
"""
pytestmark = pytest.mark.skipif(not IS_PIPELINE, reason="a part of the short pipeline: ICEFALL_DISCRETE_PIPELINE=1")


@pytest.fixture
def run(tmp_path):
    """Runs the script with a word in its own folder, warm or not; returns what came of it, and what it saw."""
    (tmp_path / "stage.py").write_text(SCRIPT)
    (tmp_path / "sibling.py").write_text("NAME = 'sibling'")

    def run_with(word, is_warm):
        done = subprocess.run(
            ["python", "stage.py", word],
            env={**os.environ, "OF_THE_TEST": "é", **(warm_variables() if is_warm else {})},
            cwd=tmp_path,
            input="heard\n",
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr, json.loads(done.stdout or "{}")

    return run_with


@pytest.mark.parametrize("word, status", [("ends", 0), ("refuses", 3), ("says why", 1)])
def test_it_sees_and_ends_as_one_that_begins_by_itself(run, word, status):
    warm, alone = run(word, True), run(word, False)
    assert warm[2].pop("parent") != os.getpid() == alone[2].pop("parent")  # it was forked from another
    assert warm == alone and warm[0] == status and warm[1].startswith("told\n")


def test_one_that_is_killed_ends_by_that_signal(run):
    assert run("killed", True)[0] == run("killed", False)[0] == -signal.SIGKILL
